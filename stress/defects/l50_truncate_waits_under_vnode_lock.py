"""L50: a truncation keeps the vnode lock while it waits for busy pages."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.object.vnode_size import vnode_pager_setsize
from vmcore.space.access import vm_read
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import VmFault


def remove_beyond(vm: Vm, object: VmObject, size: int, old: int) -> None:
    """As the repaired step, but as if the vnode had not been unlocked for it.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (busy pages).
    """
    object.lock.acquire()
    vnode = vm.vnodes(vm.pagers(object.pager).pg_handle)
    object.lock.release()
    vnode.lock.acquire()
    original("vnode_size.remove_beyond")(vm, object, size, old)
    vnode.lock.release()


def scene(scene: Scene) -> None:
    """P shows a file, of which nothing is in memory."""
    scene.map_file("P", 0, "O", shared=True)


def look(scene: Scene) -> None:
    """Load a page; the file may have become too short for that."""
    try:
        vm_read(scene.vm, scene.space("P"), BASE + 2 * scene.vm.page_size)
    except VmFault:
        return


def cut(scene: Scene) -> None:
    """Leave the file one page."""
    vm = scene.vm
    vnode_pager_setsize(vm, vm.vnodes.views[1], vm.page_size)


script = Script(
    scene=scene,
    roles={"F": look, "T": cut},
    cues=(
        ("F", "enter read_ahead.get_run"),  # the page is busy
        ("T", "start"),
        ("T", "enter object_page_remove.wait_for_owner(O)"),
        ("F", "enter pager.vm_pager_get_pages"),  # next comes the vnode
    ),
    files=(4,),
    tables={"cluster_pages": 1},
)

defect = Defect(
    id="L50",
    name="truncate-waits-under-vnode-lock",
    origin="reconstructed",
    quote="once a truncation waits for busy pages, it must not have the lock that their owners want",
    interleaving=(
        "F: a fault on file page m: m is BUSY, next comes the page-in   []",
        "T: truncates the file, and waits for m   [vnode]",
        "F: the page-in wants the vnode, to test the size: F and T wait for each other",
    ),
    symptom="a truncation and a page-in of the same file wait for each other",
    verdicts=("deadlock", "contract_violation", "order_violation"),
    scenario="cut-files",
    options={"checks": False},
    replacements={"vnode_size.remove_beyond": remove_beyond},
    script=script,
    notes="Contracts would stop it a moment earlier, at the wait under a lock that may be held there.",
)
