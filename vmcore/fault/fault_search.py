"""Fault, first half: walk down the shadow chain to the page that answers.

While it walks, a busy placeholder in the *top* object keeps all other threads from
instantiating the same page there.  The next object is locked before the current one is
unlocked, so no collapse can take it away in between; where a pager must be asked, the
paging count prevents that instead.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    PG_BUSY,
    PG_CLEAN,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_INACTIVE,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
)
from vmcore.fault.fault_state import (
    FOUND,
    RETRY,
    FaultState,
    drop_top,
    unlock_and_deallocate,
    unlock_things,
)
from vmcore.map.map_lookup import vm_map_lookup_done
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_alloc, vm_page_lookup, vm_page_zero_fill
from vmcore.page.page_flags import clear_flags_o, set_flags_o
from vmcore.page.page_queues import page_dequeue
from vmcore.page.page_wait import FREE_PAGE, PAGE_ASSERT_WAIT, page_busy, thread_block
from vmcore.page.vm_wait import VM_WAIT
from vmcore.pager.read_ahead import get_run, give_up_neighbours, read_ahead
from vmcore.pmap.pmap import pmap_clear_modify
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm

NOT_HERE = -4  # this object has no such page: go on below


@contract
def fault_search(vm: Vm, state: FaultState) -> int:
    """FOUND with a busy page in state.page, RETRY, or the error of the fault.

    Source: Mach vm/vm_fault.c, vm_fault (the loop over the shadow chain).
    Enter:  anything (state.object, the top object, is locked; reference and count are ours).
    Exit:   anything (FOUND: state.object locked, which may be another one by now;
            otherwise nothing is locked and nothing owned).
    Takes:  any.
    Sleeps: yes (busy pages, page-in, memory).
    """
    while True:
        object = state.object
        page = vm_page_lookup(vm, object, state.offset)
        if page is not None:
            if page.flags_o & PG_BUSY:
                return wait_for_busy_page(vm, state, page)
            take_page(vm, page)
            state.page = page
            return FOUND
        if object is state.first or object.pager:
            page = vm_page_alloc(vm, object, state.offset)
            if page is None:
                return wait_for_memory(vm, state)
            if object.pager:
                result = page_in(vm, state, page)
                if result != NOT_HERE:
                    return result
            if object is state.first:
                state.fake = page
        if not object.shadow:
            zero_fill(vm, state)
            return FOUND
        descend(vm, state, vm.objects(object.shadow))


@contract
def take_page(vm: Vm, page: VmPage) -> None:
    """Own a resident page: off its queue and busy, in one queue-lock section.

    Enter:  anything (the page's object is locked).
    Exit:   same.
    Takes:  page queues.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    if page.flags_p & PG_INACTIVE:
        vm.me.stats.v_reactivated += 1
    page_dequeue(vm, page)
    page_busy(vm, page)
    vm.page_queue_lock.release()


@contract
def wait_for_busy_page(vm: Vm, state: FaultState, page: VmPage) -> int:
    """Give everything up, sleep until the page's owner is done, start over.

    Only the top reference is kept across the sleep: it keeps the page's object alive.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (the page).
    """
    vm.me.stats.v_intrans += 1
    intent = PAGE_ASSERT_WAIT(vm, page)
    unlock_things(vm, state)
    thread_block(vm, page, intent)
    drop_top(vm, state)
    return RETRY


@contract
def wait_for_memory(vm: Vm, state: FaultState) -> int:
    """Give everything up and wait for a free frame; the daemon may say there is none.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (memory).
    """
    unlock_and_deallocate(vm, state)
    return RETRY if VM_WAIT(vm) else int(KERN_RESOURCE_SHORTAGE)


@contract
def page_in(vm: Vm, state: FaultState, page: VmPage) -> int:
    """Ask the object's pager for the page: FOUND, NOT_HERE, RETRY or an error.

    Enter:  anything (state.object is locked).
    Exit:   anything (FOUND, NOT_HERE: state.object locked; otherwise nothing).
    Takes:  any.
    Sleeps: yes (the read).
    """
    object = state.object
    pager = vm.pagers(object.pager)
    pages = read_ahead(vm, object, pager, page)
    object.lock.release()
    vm_map_lookup_done(state.lookup)  # after the sleep the lookup is worth nothing
    result, neighbours = get_run(vm, pager, pages, page)
    object.lock.acquire()
    give_up_neighbours(vm, pages, page, neighbours)
    if result == VM_PAGER_OK:
        came = page_that_came(vm, object, state.offset, page)
        if came is None:
            unlock_and_deallocate(vm, state)  # truncated away: it is not ours any more
            return RETRY
        page_was_read(vm, came)
        state.page = came
        return FOUND
    if result == VM_PAGER_FAIL:
        if object is not state.first:
            FREE_PAGE(vm, page)
        return NOT_HERE
    FREE_PAGE(vm, page)
    unlock_and_deallocate(vm, state)
    return int(KERN_PROTECTION_FAILURE)


@contract
def page_was_read(vm: Vm, page: VmPage) -> None:
    """The page has contents, the same as the pager's: to drop it would cost nothing.

    Enter:  anything (the page's object is locked, the page is ours).
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    clear_flags_o(vm, page, PG_FAKE)
    set_flags_o(vm, page, PG_CLEAN)
    pmap_clear_modify(vm, page)


@contract
def page_that_came(vm: Vm, object: VmObject, offset: int, asked: VmPage) -> VmPage | None:
    """Our busy page after the pager said OK: the one we asked for, or a device's in its place.

    A fictitious page is ours: it took the place of one that we owned, and is busy as that one
    was, so no other thread can have taken it since.  Any other page is another thread's.

    Enter:  object locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    page = vm_page_lookup(vm, object, offset)
    ours = page is asked or (page is not None and page.flags_o & PG_FICTITIOUS)
    return page if ours else None


@contract
def descend(vm: Vm, state: FaultState, below: VmObject) -> None:
    """One link down, hand over hand.

    Enter:  state.object locked.
    Exit:   below, state.object locked (they are the same now).
    Takes:  object.
    Sleeps: never.
    """
    object = state.object
    state.offset += object.shadow_offset
    below.lock.acquire()
    if object is not state.first:
        vm_object_paging_end(vm, object)
    object.lock.release()
    vm_object_paging_begin(vm, below)
    state.object = below


@contract
def zero_fill(vm: Vm, state: FaultState) -> None:
    """No object of the chain has the page: the placeholder becomes a page of zeros.

    Enter:  state.object locked (the bottom of the chain).
    Exit:   state.object locked (now the top object).
    Takes:  object.
    Sleeps: never.
    """
    object, first = state.object, state.first
    if object is not first:
        vm_object_paging_end(vm, object)
        object.lock.release()
        first.lock.acquire()
        state.object = first
    page = state.fake
    assert page is not None
    state.offset, state.page, state.fake = state.first_offset, page, None
    vm_page_zero_fill(vm, page)
    clear_flags_o(vm, page, PG_FAKE)
    vm.me.stats.v_zfod += 1
