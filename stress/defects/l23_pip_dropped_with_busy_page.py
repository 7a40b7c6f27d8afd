"""L23: a fault gave its paging count back around a collapse, with a busy page of its own in the object."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_COPYONWRITE, PG_FICTITIOUS, VM_PROT_WRITE
from vmcore.fault.fault_copy import copy_up, publish_copy
from vmcore.fault.fault_state import FaultState
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object_pages import is_dirty
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end, vm_object_paging_wait
from vmcore.page.page import object_pages
from vmcore.page.page_flags import set_flags_o
from vmcore.page.page_queues import page_dequeue
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def fault_copy(vm: Vm, state: FaultState) -> None:
    """As the repaired step, but the count is dropped, so that collapse is willing.

    Enter:  state.object locked.
    Exit:   state.object locked (after a copy, the top object).
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    if state.fault_type & VM_PROT_WRITE or state.wired:
        copy_up(vm, state)
        state.object.lock.acquire()
        publish_copy(vm, state)
        if not state.wired:
            vm_object_paging_end(vm, state.first)
            vm_object_collapse(vm, state.first)
            vm_object_paging_begin(vm, state.first)
    else:
        state.prot &= ~VM_PROT_WRITE
        set_flags_o(vm, state.page, PG_COPYONWRITE)


def drain_paging(vm: Vm, object: VmObject) -> None:
    """As in the old kernels: until the paging count is zero, so that no page can be busy.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    vm_object_paging_wait(vm, object, "vospgc")


def next_to_clean(
    vm: Vm,
    object: VmObject,
    start: int,
    end: int,
    sync: bool,  # noqa: ARG001
    dequeue: bool,
    handled: set[int],
) -> VmPage | None:
    """As the repaired step, for an object without paging count: no page of it can be busy.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    for page in object_pages(vm, object):
        offset = page.offset
        if offset in handled or not (start == end or start <= offset < end) or page.flags_o & PG_FICTITIOUS:
            continue
        if is_dirty(vm, page):
            return page
        if dequeue:
            vm.page_queue_lock.acquire()
            page_dequeue(vm, page)
            vm.page_queue_lock.release()
    return None


def scene(scene: Scene) -> None:
    """P's O shadows B, B shadows G, which Q's S shadows too; O and B have a page in swap each."""
    scene.map("P", "G")
    scene.put("G", 3, 4)
    scene.shadow("P", "B", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="G")


def as_stored(scene: Scene) -> None:
    """P sees what it stored, and what B had."""
    scene.expect("P", 3, 5)
    scene.expect("P", 0, 1)


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.write("P", 3, 5), "A": lambda scene: scene.clean("O")},
    cues=(
        ("F", "enter collapse.vm_object_collapse(O)"),  # the copy of page 3 is F's, and busy
        ("F", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("A", "start"),
        ("A", "enter object_pages.drain_paging(O)"),
        ("F", "io swap_read"),
    ),
    check=as_stored,
)

defect = Defect(
    id="L23",
    name="pip-dropped-with-busy-page",
    origin="reconstructed",
    quote='read from the code: the fault drops its own count "so that collapse is willing"',
    interleaving=(
        "F: has a busy page in O, drops its count, pip 1 -> 0, and collapses O, which unlocks O   []",
        "A: page_clean(O): pip is 0, so it takes the page, which is F's   [O]",
        "A and F both own the page: the one that is done first gives it away while the other uses it",
    ),
    symptom="a page with two owners; kernels that look panic at a busy page",
    verdicts=("panic", "invariant_violation"),
    scenario="synced-heaps",
    replacements={
        "fault_copy.fault_copy": fault_copy,
        "object_pages.drain_paging": drain_paging,
        "object_pages.next_to_clean": next_to_clean,
    },
    notes=(
        "R's page_clean waits for busy pages, not for an idle object; the group does it the other way "
        "round, as the old kernels did.  With --checked the count alone is seen: a busy "
        "page in an object whose paging count is zero."
    ),
    script=script,
)
