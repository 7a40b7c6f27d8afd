"""L47: the page that was read in is looked up again, and taken for granted."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import PG_FAKE
from vmcore.page.page import vm_page_lookup, vm_page_remove
from vmcore.space.access import vm_read
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import VmFault


def page_that_came(vm: Vm, object: VmObject, offset: int, asked: VmPage) -> VmPage | None:  # noqa: ARG001
    """As the repaired step, but there is no page that is not ours.

    Enter:  object locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    page = vm_page_lookup(vm, object, offset)
    vm.point("page came", page.slot)  # type: ignore[union-attr]
    return page


def wait_for_page(vm: Vm, object: VmObject, page: VmPage) -> None:
    """As the repaired step, but a page on its way in is taken out of the object under its owner.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, page queues, page hash, channel.
    Sleeps: yes (the page's owner).
    """
    if page.flags_o & PG_FAKE and object.pager:
        vm.page_queue_lock.acquire()
        vm_page_remove(vm, page)
        vm.page_queue_lock.release()
        return
    original("object_page_remove.wait_for_owner")(vm, object, page)


def look(scene: Scene) -> None:
    """Load a page; the file may have become too short for that."""
    try:
        vm_read(scene.vm, scene.space("P"), BASE + 2 * scene.vm.page_size)
    except VmFault:
        return


script = Script(
    scene=lambda scene: scene.map_file("P", 0, "O", shared=True),
    roles={"F": look, "T": lambda scene: scene.resize(0, 1)},
    cues=(
        # The size was tested and the page read, so the pager has said OK.  F waits without O, or T could not
        # come, and cannot look the page up before T has taken it out.
        ("F", "exit pager.vm_pager_get_pages"),
        ("T", "start"),
        ("T", "exit object_page_remove.wait_for_owner(O)"),
        ("F", "exit read_ahead.get_run"),
    ),
    files=(4,),
    tables={"cluster_pages": 1},
)

defect = Defect(
    id="L47",
    name="page-lost-at-relookup",
    origin="reconstructed",
    quote="after the page-in the page is looked up again, and whether it was found is not tested",
    interleaving=(
        "F: a fault on file page m sleeps in its page-in   []",
        "T: truncates the file, and takes m out of it although it is busy   [O]",
        "F: looks m up: there is none, and goes on with it",
    ),
    symptom="a fault follows a null pointer after a truncation",
    verdicts=("panic", "contract_violation"),
    scenario="cut-files",
    replacements={
        "fault_search.page_that_came": page_that_came,
        "object_page_remove.wait_for_owner": wait_for_page,
    },
    script=script,
    notes=(
        "A truncation that waits for busy pages leaves nothing to be lost; so half of L25 is in it.  A fault "
        "that gives the lost page up before it looks it up again has no claim on it: a broken contract.  The "
        "crash of the old kernels is an exception here, and an exception that is not caught a panic."
    ),
)
