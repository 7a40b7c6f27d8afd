"""The active and the inactive queue: which page is on which, and wiring.

A page is on exactly one queue iff it is managed, unwired and not BUSY (pages that the
daemon is writing stay on inactive, BUSY and without LAUNDRY).  Everything here is done
under the page-queue lock; callers that also change what decides queue membership
(BUSY) do that in the same section.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_ACTIVE, PG_BUSY, PG_CLEAN, PG_FICTITIOUS, PG_INACTIVE, PG_LAUNDRY
from vmcore.pmap.pmap import pmap_clear_reference, pmap_is_modified
from vmcore.structs import VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def page_dequeue(vm: Vm, page: VmPage) -> None:
    """Take the page off whichever queue it is on; nothing happens when it is on none.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags, g, views = page.flags_p, vm.g, vm.pages.views
    if not flags & (PG_ACTIVE | PG_INACTIVE):
        return
    following, previous = page.pageq_next, page.pageq_prev
    if flags & PG_ACTIVE:
        if not previous:
            g.active_first = following
        if not following:
            g.active_last = previous
        g.v_active_count -= 1
    else:
        if not previous:
            g.inactive_first = following
        if not following:
            g.inactive_last = previous
        g.v_inactive_count -= 1
    if following:
        views[following].pageq_prev = previous
    if previous:
        views[previous].pageq_next = following
    page.flags_p = flags & ~(PG_ACTIVE | PG_INACTIVE | PG_LAUNDRY)


@contract
def vm_page_activate(vm: Vm, page: VmPage) -> None:
    """Put the page at the tail of the active queue; a wired one ends on no queue.

    Source: Mach vm/vm_resident.c, vm_page_activate.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = page.flags_p
    if flags & PG_INACTIVE:
        page_dequeue(vm, page)
        flags = page.flags_p
    if page.wire_count:
        return
    if flags & PG_ACTIVE:
        raise panic(f"vm_page_activate: page {page.slot} is already active", page)
    append_active(vm, page)


def append_active(vm: Vm, page: VmPage) -> None:
    """Link a page that is on no queue; queue lock held."""
    g, slot = vm.g, page.slot
    last = g.active_last
    page.pageq_prev, page.pageq_next = last, 0
    if last:
        vm.pages.views[last].pageq_next = slot
    else:
        g.active_first = slot
    g.active_last = slot
    g.v_active_count += 1
    page.flags_p |= PG_ACTIVE


@contract
def vm_page_deactivate(vm: Vm, page: VmPage) -> None:
    """Put the page at the tail of the inactive queue, a candidate for page-out.

    From active or from no queue.  CLEAN is only read: the daemon calls this without
    the object lock, and a hint is enough to decide about LAUNDRY, because the scan
    tests again under the lock.

    Source: Mach vm/vm_resident.c, vm_page_deactivate.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    flags = page.flags_p
    if page.wire_count or page.flags_o & PG_FICTITIOUS or flags & PG_INACTIVE:
        return
    if flags & PG_ACTIVE:
        page_dequeue(vm, page)
    append_inactive(vm, page)


def append_inactive(vm: Vm, page: VmPage) -> None:
    """Link a page that is on no queue, unreferenced, as LAUNDRY if it is dirty; queue lock held."""
    pmap_clear_reference(vm, page)
    laundry = 0 if page.flags_o & PG_CLEAN and not pmap_is_modified(vm, page) else PG_LAUNDRY
    g, slot = vm.g, page.slot
    last = g.inactive_last
    page.pageq_prev, page.pageq_next = last, 0
    if last:
        vm.pages.views[last].pageq_next = slot
    else:
        g.inactive_first = slot
    g.inactive_last = slot
    g.v_inactive_count += 1
    page.flags_p = page.flags_p & ~PG_LAUNDRY | PG_INACTIVE | laundry


@contract
def vm_page_wire(vm: Vm, page: VmPage) -> None:
    """One more wiring; the first takes the page off its queue.

    Source: Mach vm/vm_resident.c, vm_page_wire.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    count = page.wire_count
    if not count:
        page_dequeue(vm, page)
        vm.g.v_wire_count += 1
    page.wire_count = count + 1


@contract
def vm_page_unwire(vm: Vm, page: VmPage) -> None:
    """One wiring less; the last puts the page on the active queue, unless it is BUSY.

    The owner of a busy page requeues it itself; appending it here as well would make
    its ``vm_page_activate`` the second one.

    Source: Mach vm/vm_resident.c, vm_page_unwire.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    count = page.wire_count
    if not count:
        raise panic(f"vm_page_unwire: page {page.slot} is not wired", page)
    page.wire_count = count - 1
    if count > 1:
        return
    if page.flags_p & (PG_ACTIVE | PG_INACTIVE):
        raise panic(f"vm_page_unwire: wired page {page.slot} is on a queue", page)
    vm.g.v_wire_count -= 1
    if not page.flags_o & PG_BUSY:
        append_active(vm, page)
