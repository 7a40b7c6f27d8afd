"""Fault, step 6 for a wired entry: the mapping and the wiring change together.

A hardware mapping is marked wired exactly when the page counts that wiring.  So a fault
on an entry whose wirer has not come to this page yet enters an ordinary mapping; and one
that finds a wired mapping keeps it wired, whichever page it shows now.

That page can be another one: while a read-only range was wired its top object was
shared, then the range was made writable, and this fault has put a shadow in front and
copied the page up.  The wiring moves with the mapping.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import KERN_RESOURCE_SHORTAGE, KERN_SUCCESS
from vmcore.fault.fault_state import FaultState
from vmcore.map.unwire import pmap_wired_page
from vmcore.object.collapse import vm_object_collapse
from vmcore.page.page_queues import vm_page_activate, vm_page_unwire, vm_page_wire
from vmcore.page.page_wait import page_wakeup
from vmcore.pmap.pmap import pmap_enter
from vmcore.structs import Pmap, VmPage
from vmcore.vm import Vm


@contract
def enter_wired(vm: Vm, state: FaultState, pmap: Pmap) -> int:
    """Enter the page, wire it or move the wiring to it, and let it go; a KERN_* result.

    All in one queue-lock section: a wirer that undoes its work takes mark and count
    away in one section too, while faults like this one go on.

    Enter:  state.object locked; pmap unlocked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    page, result = state.page, int(KERN_SUCCESS)
    vm.page_queue_lock.acquire()
    before = pmap_wired_page(vm, pmap, state.va)
    if before is None and state.wiring and not may_wire(vm, page):
        result = int(KERN_RESOURCE_SHORTAGE)
    else:
        pmap_enter(vm, pmap, state.va, page, state.prot, state.wiring or before is not None)
        if before is not page:
            move_wiring(vm, state, before)
    page_wakeup(vm, page)
    vm_page_activate(vm, page)  # on no queue if it is wired
    vm.page_queue_lock.release()
    if state.copied:
        # What fault_copy has put off: the hidden page is not wired any more.
        vm_object_collapse(vm, state.first, False, 1)
    return result


def may_wire(vm: Vm, page: VmPage) -> bool:
    """Is the page wired already, or one more allowed?  Queue lock held."""
    return bool(page.wire_count > 0 or vm.g.v_wire_count < vm.g.v_wire_max)


@contract
def move_wiring(vm: Vm, state: FaultState, before: VmPage | None) -> None:
    """Count this address's wiring in the fault's page, and no longer in the one before.

    The limit does not hold here: the wiring was granted when it was made, and to refuse
    it now would be a store that fails on memory that was promised.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if before is not None:
        vm_page_wire(vm, state.page)
        vm_page_unwire(vm, before)
    elif state.wiring:
        vm_page_wire(vm, state.page)
