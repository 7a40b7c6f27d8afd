"""L19: "it is on its way" is taken for an error, and the page is taken back under the write."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE, PG_CLEAN, PG_INACTIVE, PG_LAUNDRY, VM_PAGER_PEND
from vmcore.object.object_pages import take_back
from vmcore.page.object_paging import PIP_OFFSET, vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import FLAGS_O
from vmcore.page.page_flags import clear_flags_o, clear_flags_p, set_flags_o
from vmcore.page.page_queues import page_dequeue
from vmcore.page.page_wait import page_busy
from vmcore.pager.pager import vm_pager_put_pages
from vmcore.pmap.pmap import pmap_clear_modify
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def write_page(vm: Vm, object: VmObject, page: VmPage, sync: bool, dequeue: bool, terminating: bool) -> int:
    """As the repaired step, but whatever the pager says the page is clean and ours again.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the write).
    """
    pager = vm.pagers(object.pager)
    vm.page_queue_lock.acquire()
    came_from = page.flags_p & (PG_ACTIVE | PG_INACTIVE)
    page_dequeue(vm, page)
    clear_flags_o(vm, page, PG_CLEAN)
    clear_flags_p(vm, page, PG_LAUNDRY)
    page_busy(vm, page)
    vm.page_queue_lock.release()
    vm_object_paging_begin(vm, object, terminating)
    object.lock.release()
    result: int = vm_pager_put_pages(vm, pager, page, sync)
    object.lock.acquire()
    if result == VM_PAGER_PEND:  # the claims, which tell who waits for whom, are the record's by now
        vm.claim(page.address + FLAGS_O)
        vm.claim(object.address + PIP_OFFSET)
    set_flags_o(vm, page, PG_CLEAN)
    pmap_clear_modify(vm, page)
    take_back(vm, page, 0 if dequeue else came_from, dequeue)
    vm_object_paging_end(vm, object)
    return result


def scene(scene: Scene) -> None:
    """O has a dirty page."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("O", sync=False)},
    cues=(("A", "exit object_pages.write_page(O)"), ("disk", "io swap_write")),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L19",
    name="async-clean-double-decrement",
    origin="reconstructed",
    quote="page_clean takes everything that is not zero for an error, the answer 'pending' among it",
    interleaving=(
        "A: page_clean(O), not waiting: page m is BUSY, pip 0 -> 1; put says PEND",
        "A: takes that for an error: m is CLEAN, not BUSY, pip 1 -> 0, while the disk writes",
        "D: reaps the write: clears the BUSY of the thread that owns m now, pip 0 -> 65535",
    ),
    symptom="a paging count below zero: its waiter sleeps for ever, or the count is checked",
    verdicts=("panic", "invariant_violation", "lost_wakeup", "unguarded_access"),
    scenario="shared-msync",
    replacements={"object_pages.write_page": write_page},
    script=script,
    notes=(
        "The count of a write in flight is what keeps its object alive until the write is reaped; without it "
        "the object may be freed before, and the reaper follows a link to a record that is gone."
    ),
)
