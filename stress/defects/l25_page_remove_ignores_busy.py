"""L25: pages are thrown away without a test whether another thread owns them, or whether they are wired."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.object.object_page_remove import remove_page
from vmcore.object.vnode_size import vnode_pager_setsize
from vmcore.page.page import object_pages
from vmcore.space.access import vm_read
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import VmFault


def vm_object_page_remove(vm: Vm, object: VmObject, start: int, end: int, spare_dirty: bool = False) -> int:
    """As the repaired step, but busy pages are as good as any.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    pages = (page for page in object_pages(vm, object) if start <= page.offset < end)
    return sum(not remove_page(vm, page, spare_dirty) for page in pages)


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
        ("F", "enter fault_search.page_in(O)"),
        ("T", "start"),
        ("T", "enter object_page_remove.remove_page"),
        ("F", "enter read_ahead.get_run"),
    ),
    files=(4,),
)

defect = Defect(
    id="L25",
    name="page-remove-ignores-busy",
    origin="reconstructed",
    quote="truncate and invalidate free pages without a test of BUSY",
    interleaving=(
        "F: a fault on a file page m sleeps in its page-in: m is BUSY   []",
        "T: truncates the file: frees m   [O]",
        "X: gets m's frame for a page of its own",
        "F: the read completes into X's page; F looks m up again, or gives up what is not its own",
    ),
    symptom="another process's memory shows a piece of a file, or a fault owns a page that is gone",
    verdicts=("contract_violation", "panic", "unguarded_access", "wrong_data"),
    scenario="cut-files",
    replacements={"object_page_remove.vm_object_page_remove": vm_object_page_remove},
    notes="Here a thread that frees a busy page must own it: if another thread does, that is found at once.",
    script=script,
)
