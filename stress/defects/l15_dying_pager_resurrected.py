"""L15: a file's pager that is about to be freed gets a new object."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object import vm_object_allocate
from vmcore.object.object_cache import vm_object_lookup
from vmcore.object.vnode import introduce, make_object
from vmcore.object.vnode_size import vnode_pager_uncache
from vmcore.structs import Pager, VmObject, Vnode
from vmcore.vm import Vm


def vnode_pager_alloc(vm: Vm, vnode: Vnode) -> VmObject | None:
    """As the repaired step, but a pager without an object is taken as it is.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode, cache, object, pager, pool, object list, channel.
    Sleeps: yes (the vnode lock).
    """
    vnode.lock.acquire()
    reference = vnode.v_vmdata
    found = vm_object_lookup(vm, vm.pagers(reference)) if reference else make_object(vm, vnode)
    if found is None and reference:
        found = new_object(vm, vm.pagers(reference))
    vnode.lock.release()
    return found


def new_object(vm: Vm, pager: Pager) -> VmObject | None:
    """Another object for a pager that has lost its own."""
    found = vm_object_allocate(vm, pager.sw_osize)
    if found is not None:
        introduce(vm, found, pager)
    return found


def scene(scene: Scene) -> None:
    """P is the only user of a file, which is not to be kept; it has stored to it.  M has nothing yet."""
    scene.map_file("P", 0, "O", shared=True)
    scene.write("P", 0, 1)
    scene.map("M")
    vnode_pager_uncache(scene.vm, scene.vm.vnodes.views[1])


script = Script(
    scene=scene,
    roles={
        "E": lambda scene: scene.exit("P"),
        "M": lambda scene: scene.show_file("M", 0, shared=True),
    },
    cues=(
        ("E", "enter pager.vm_pager_put_pages"),  # O is dying, and out of the hash; nothing is locked
        ("M", "start"),
        ("M", "enter object_cache.vm_object_lookup"),  # the vnode is locked
        ("M", "end"),
        ("E", "exit pager.vm_pager_put_pages"),
    ),
    check=lambda scene: scene.expect("M", 0, 1),
    files=(4,),
)

defect = Defect(
    id="L15",
    name="dying-pager-resurrected",
    origin="reconstructed",
    quote="the vnode still names its pager while the pager's object is being terminated",
    interleaving=(
        "E: the last user of file F leaves: F's object is out of the hash, and sleeps in file writes   []",
        "M: maps F: F names pager P, P has no object: a new object N is entered with P   []",
        "E: the writes are done: deallocates P, and frees it",
        "M: faults on N: asks a pager that is gone, or by now belongs to another object",
    ),
    symptom="a program that was just replaced crashes at its start, or reads another file",
    verdicts=("invariant_violation", "unguarded_access", "panic", "wrong_data"),
    scenario="last-users",
    replacements={"vnode.vnode_pager_alloc": vnode_pager_alloc},
    script=script,
)
