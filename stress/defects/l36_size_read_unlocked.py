"""L36: a pager is made for the size that an object had, while a heap grows into it."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import OBJ_INTERNAL
from vmcore.object import object_pager
from vmcore.space.map_user import vm_allocate
from vmcore.space.vmspace import space_map
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm


def install_pager(vm: Vm, object: VmObject, pager: Pager, size: int) -> None:  # noqa: ARG001
    """As the repaired step, but nothing asks whether the pager is as large as the object is now.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager, swap map, pool, channel.
    Sleeps: never.
    """
    original("object_pager.install_pager")(vm, object, pager, object.size)


def may_grow(vm: Vm, object: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, but the paging count is not looked at.

    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    linked = object.shadow or object.copy or object.pager
    return bool(object.ref_count == 1 and object.flags & OBJ_INTERNAL and not linked)


def scene(scene: Scene) -> None:
    """P's heap of 4 pages, one of them in memory."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


def write_out(scene: Scene) -> None:
    """As the daemon does at the first page-out of O; then the whole of O, the new page too."""
    heap = scene.object("O")
    heap.lock.acquire()
    object_pager.ensure_pager(scene.vm, heap)
    heap.lock.release()
    scene.clean("O")


def grow(scene: Scene) -> None:
    """A fifth page, and a store to it."""
    size = scene.vm.page_size
    vm_allocate(scene.vm, space_map(scene.vm, scene.space("P")), size, BASE + 4 * size)
    scene.write("P", 4, 5)


script = Script(
    scene=scene,
    roles={"D": write_out, "P": grow},
    cues=(
        ("D", "enter object_pager.ensure_pager(O)"),
        ("P", "start"),
        ("P", "end"),
        ("D", "enter pager.vm_pager_allocate"),
    ),
    check=lambda scene: scene.expect("P", 4, 5),
)

defect = Defect(
    id="L36",
    name="size-read-unlocked",
    origin="reconstructed",
    quote="the pager is allocated from a size that was read before the lock was dropped",
    interleaving=(
        "D: a page-out of O, 2 pages: no pager, unlocks O, allocates one of 2 pages   []",
        "P: its heap grows by a page: O has no other user and no pager, so O grows to 3   [O]",
        "D: installs the pager of 2 pages   [O]",
        "D: page 2 of O lies beyond the pager: it can never be written",
    ),
    symptom="a page that is dirty for ever: its page-out is refused at each attempt",
    verdicts=("livelock", "wrong_data", "invariant_violation"),
    scenario="short-heaps",
    replacements={
        "object_pager.install_pager": install_pager,
        "object_coalesce.may_grow": may_grow,
    },
    script=script,
)
