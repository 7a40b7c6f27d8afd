"""L30: the device pager frees the caller's page and wakes those who wait for it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Panic
from stress.defect import Defect
from vmcore.constants import PG_BUSY, PG_FREE, PG_WANTED
from vmcore.page import vm_page_free
from vmcore.page_flags import clear_flags_o
from vmcore.structs import VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def dismiss(vm: Vm, page: VmPage) -> None:
    """As the repaired step, in the other order."""
    wanted = page.flags_o & PG_WANTED
    if wanted:  # the old vm_page_free did not ask
        clear_flags_o(vm, page, PG_WANTED)
    vm_page_free(vm, page)
    vm.point("page is free, and its waiters sleep", page.slot)
    clear_flags_o(vm, page, PG_BUSY | PG_WANTED)
    if wanted:
        page.chan.wakeup()


def frame_free(vm: Vm, page: VmPage) -> None:
    """As the repaired step, but the frame that was freed last is given away first."""
    g, lock, slot = vm.g, vm.free_lock, page.slot
    lock.acquire()
    if page.flags_p & PG_FREE:
        lock.release()
        raise Panic(f"page {slot} is freed twice")
    page.flags_p = PG_FREE
    page.pageq_next, page.pageq_prev = g.free_first, 0
    g.free_first = slot
    if not g.free_last:
        g.free_last = slot
    g.v_free_count += 1
    lock.release()


defect = Defect(
    id="L30",
    name="wakeup-after-free",
    origin="reconstructed",
    quote="the device pager frees the page first, and then sends the wakeup, which clears BUSY",
    interleaving=(
        "P: first touch of a device: its fake page is exchanged, and freed   [object, queue]",
        "X: memory is short, so the next fault gets this very frame, and sets BUSY   []",
        "P: sends the wakeup, which takes away X's BUSY   [object, queue]",
        "Y: finds X's page not busy, and takes it as it is",
    ),
    symptom="a page without an owner while it is being filled: two owners, or old contents",
    verdicts=("panic", "invariant_violation", "wrong_data", "unguarded_access", "lost_wakeup", "crash"),
    scenario="device-users",
    replacements={"vmcore.pager_device.dismiss": dismiss, "vmcore.page.frame_free": frame_free},
    entry="full",
    notes="R's free list is a queue: nobody gets a frame that has just been freed, so it is a stack here.",
)
