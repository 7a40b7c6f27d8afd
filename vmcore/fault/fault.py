"""vm_fault: find the page behind an address and enter it in the hardware map.

The steps are those of the historic function, one function each:

    1  vm_map_lookup       which object, which offset, which rights      map_lookup.py
    2  fault_search        down the chain to a busy page                 fault_search.py
    3  fault_copy          up into the top object, if it must be         fault_copy.py
    4  fault_push          the old page to a copy-object, before a write   fault_push.py
    5  relookup          is the lookup still true, if the map was unlocked meanwhile?
    6  enter_page          the mapping, under the object's lock
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import KERN_SUCCESS, PG_COPYONWRITE, VM_PROT_READ, VM_PROT_WRITE
from vmcore.fault.fault_copy import fault_copy
from vmcore.fault.fault_push import copy_is_due, fault_push
from vmcore.fault.fault_search import fault_search
from vmcore.fault.fault_state import FOUND, RETRY, FaultState, fault_state, unlock_and_deallocate
from vmcore.fault.fault_wired import enter_wired
from vmcore.map.map import map_pmap
from vmcore.map.map_lookup import vm_map_lookup, vm_map_lookup_again
from vmcore.page.object_paging import vm_object_paging_begin
from vmcore.page.page_flags import clear_flags_o
from vmcore.page.page_wait import FREE_PAGE, RELEASE_PAGE
from vmcore.pmap.pmap import pmap_enter
from vmcore.structs import VmMap
from vmcore.vm import Vm


@contract
def vm_fault(vm: Vm, map: VmMap, va: int, fault_type: int, change_wiring: bool = False) -> int:
    """Make the page at va accessible for this type of access; a KERN_* result.

    change_wiring: wire it as well; the caller (vm_fault_wire) keeps the map read-locked.

    Source: Mach vm/vm_fault.c, vm_fault.
    Enter:  nothing locked (the map is referenced).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map locks, busy pages, page-in, memory).
    """
    state = fault_state()
    state.map, state.va, state.asked = map, va - va % vm.page_size, fault_type
    state.wiring = change_wiring
    stats = vm.me.stats
    stats.v_faults += 1
    while True:
        result = fault_once(vm, state)
        if result != RETRY:
            return result
        stats.fault_restarts += 1
        vm.native.failure()


def fault_once(vm: Vm, state: FaultState) -> int:
    """One attempt: a KERN_* result with nothing held, or RETRY."""
    result = vm_map_lookup(vm, state.map, state.va, state.asked, state.lookup, state.wiring)
    if result != KERN_SUCCESS:
        return result
    hold_top(vm, state)
    result = fault_search(vm, state)
    if result != FOUND:
        return result
    if state.object is not state.first:
        fault_copy(vm, state)
    while copy_is_due(state) or not state.lookup.locked:
        # The map is read-locked after one look, so a copy that appeared while we looked
        # costs one more round, unless its push lets go of the map again.
        result = fault_push(vm, state)
        if result != FOUND:
            return result
        if not state.lookup.locked:
            result = relookup(vm, state)
            if result != KERN_SUCCESS:
                return result
    return enter_page(vm, state)


@contract
def hold_top(vm: Vm, state: FaultState) -> None:
    """Own one reference and one paging count on the object that the lookup found.

    Enter:  anything (the maps of the lookup are read-locked).
    Exit:   anything (state.first locked).
    Takes:  object.
    Sleeps: never.
    """
    found = state.lookup
    first = found.object
    assert first is not None
    state.first = state.object = first
    state.first_offset = state.offset = found.offset
    state.prot = found.prot
    state.fault_type, state.wired = found.fault_type, found.wired
    state.pushed = 0
    state.fake, state.copied = None, False
    first.lock.acquire()
    first.ref_count += 1
    vm_object_paging_begin(vm, first)


@contract
def relookup(vm: Vm, state: FaultState) -> int:
    """The map was unlocked while we slept: does it still say the same?

    We own a busy page and a paging count, so the read passes queued writers, and
    nothing is created: an entry that has lost its object is simply different.

    Enter:  anything (state.object is locked).
    Exit:   anything (success: state.object locked, maps read-locked; otherwise nothing).
    Takes:  any.
    Sleeps: yes (a writer that holds the map).
    """
    object, found = state.object, state.lookup
    object.lock.release()
    # Not the right to read: a page may be writable only, and state.prot is narrowed below.
    any_right = state.wiring or not state.fault_type & VM_PROT_READ
    result = vm_map_lookup_again(vm, state.map, state.va, found, any_right)
    object.lock.acquire()
    if result != KERN_SUCCESS:
        give_page_up(vm, state)
        unlock_and_deallocate(vm, state)
        return result
    same = found.object is state.first and found.offset == state.first_offset
    if not same or found.wired != state.wired:
        give_page_up(vm, state)
        unlock_and_deallocate(vm, state)
        return RETRY
    state.prot &= found.prot
    if state.page.flags_o & PG_COPYONWRITE:
        state.prot &= ~VM_PROT_WRITE
    return int(KERN_SUCCESS)


@contract
def give_page_up(vm: Vm, state: FaultState) -> None:
    """The fault ends without a mapping: its page goes back to a queue.

    But not a copy for a wired entry.  The page that it hides is still the wired one, because
    only the mapping would have changed that; and a collapse discards what is hidden.

    Enter:  anything (state.object is locked).
    Exit:   same.
    Takes:  page queues, page hash, free list, channel.
    Sleeps: never.
    """
    if state.copied and state.wired:
        FREE_PAGE(vm, state.page)
    else:
        RELEASE_PAGE(vm, state.page)


@contract
def enter_page(vm: Vm, state: FaultState) -> int:
    """Enter the mapping with the object still locked, then let everything go.

    Between an unlock and the enter another thread could write-protect the page for a copy,
    and our writable mapping would come after it.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations: a collapse may have put references aside).
    """
    page = state.page
    if state.prot & VM_PROT_WRITE and page.flags_o & PG_COPYONWRITE:
        clear_flags_o(vm, page, PG_COPYONWRITE)
    pmap = map_pmap(vm, state.map)
    assert pmap is not None
    result = int(KERN_SUCCESS)
    if state.wired:
        result = enter_wired(vm, state, pmap)
    else:
        pmap_enter(vm, pmap, state.va, page, state.prot, False)
        RELEASE_PAGE(vm, page)
    unlock_and_deallocate(vm, state)
    return result
