"""L16: an anonymous object's end takes a file's object out of the hash, which has just come in."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_CANPERSIST
from vmcore.object.object_cache import VM_OBJECT_HASH_COUNT, hash_object, unlink_hashed
from vmcore.object.vnode import install_in_new
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm


def introduce(vm: Vm, object: VmObject, pager: Pager) -> None:
    """As the repaired step, but the object is entered in the hash first, and gets its pager then.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  cache, object, pager.
    Sleeps: never.
    """
    object.lock.acquire()
    object.flags |= OBJ_CANPERSIST
    object.lock.release()
    hash_object(vm, object, pager)
    vm.point("entered without a pager", pager.slot)
    install_in_new(vm, object, pager)


def remove(vm: Vm, pager: Pager | None) -> None:
    """As the repaired step, but "no pager" is looked for like any other, in the bucket of zero.

    Enter:  vm.cache_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if pager is None:
        unlink_hashed(vm, 0, 0)
    else:
        original("object_cache.vm_object_remove")(vm, pager)


FILE = 0x40000


def scene(scene: Scene) -> None:
    """P has some memory, Q's ends soon; the next pager will be in the bucket of none."""
    scene.map("P")
    scene.map("Q", "O")
    scene.put("O", 0, 1)
    pagers = scene.vm.pagers
    pager = pagers.allocate()
    while pager is not None and pager.slot != VM_OBJECT_HASH_COUNT:
        pager = pagers.allocate()  # these have no owner: "M" frees them
    assert pager is not None
    pagers.free(pager)


def map_and_leave(scene: Scene) -> None:
    """Map the file and leave, so that its object is cached; and pagers without users go."""
    vm = scene.vm
    amap = space_map(vm, scene.space("P"))
    vm_map_file(vm, amap, vm.vnodes.views[1], vm.page_size, shared=True, address=FILE)
    scene.exit("P")
    for pager in [one for one in vm.pagers.live() if not one.pg_handle]:
        vm.pagers.free(pager)


script = Script(
    scene=scene,
    roles={"M": map_and_leave, "E": lambda scene: scene.exit("Q")},
    cues=(
        ("M", "exit object_cache.hash_object"),
        ("E", "start"),
        ("E", "exit object_cache.vm_object_remove"),
        ("M", "point entered without a pager"),
    ),
    files=(4,),
    tables={"pagers": 160},
)

defect = Defect(
    id="L16",
    name="remove-none-hits-half-entered",
    origin="reconstructed",
    quote="an object is in the hash before it has its pager, and every anonymous end removes the pager none",
    interleaving=(
        "M: maps file F for the first time: its object N is in the bucket of pager P, N.pager is none",
        "E: anonymous memory ends: removes the object of pager none: looks into the bucket of none   [cache]",
        "if P has the same bucket (one of 157), N is taken out of the hash",
        "M: installs P in N: no thread will ever find N by P",
    ),
    symptom="a file in use cannot be mapped a second time, or is in memory twice",
    verdicts=("invariant_violation", "lost_wakeup"),
    scenario="many-files",
    options={"workers": 8, "checked": True},
    replacements={
        "object_cache.vm_object_remove": remove,
        "vnode.introduce": introduce,
    },
    script=script,
    notes=(
        "By chance it needs a pager in one bucket of 157: the scenario keeps most other buckets full.  R "
        "makes no second object for a file whose pager has none, it waits until that pager is gone: for ever."
    ),
)
