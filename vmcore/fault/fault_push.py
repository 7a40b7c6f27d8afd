"""Fault, step 4: before a page of a copied object is written, its copy-object gets the old page.

Only the top object's ``copy`` is ours to read, and an object with a copy shadows nothing,
so the page in hand lies in the object itself.  The copy-object is a *shadower* of the
object: its lock comes first in the order, so it is tried, or locked after the object was
let go.

The page that is about to be written stays busy all the time, even while we wait for the
copy's page.  That is the one exception to the rule that a fault owns nothing when it
waits: a reader of the same page through the copy-object gives its page up before it waits
for ours, so one of the two always gets through; if both gave up, they could meet each
other's page again and again.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_RESOURCE_SHORTAGE,
    PG_BUSY,
    PG_CLEAN,
    PG_COPYONWRITE,
    PG_FAKE,
    VM_PROT_NONE,
    VM_PROT_WRITE,
)
from vmcore.fault.fault_state import FOUND, RETRY, FaultState, unlock_and_deallocate
from vmcore.map.map_lookup import vm_map_lookup_done
from vmcore.object.object_copy import yield_to_holder
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_alloc, vm_page_copy, vm_page_lookup
from vmcore.page.page_flags import clear_flags_o
from vmcore.page.page_wait import FREE_PAGE, PAGE_ASSERT_WAIT, RELEASE_PAGE, thread_block
from vmcore.page.vm_wait import VM_WAIT
from vmcore.pager.pager import vm_pager_has_page
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm, release_later

PUSHED = -5  # this copy-object has been dealt with
LOOK_AGAIN = -6  # locks were dropped: read ``copy`` again


def copy_is_due(state: FaultState) -> bool:
    """Has the object in hand a copy-object that this fault has not dealt with?  It is locked."""
    object = state.object
    return object is state.first and object.copy not in (0, state.pushed)


@contract
def fault_push(vm: Vm, state: FaultState) -> int:
    """FOUND when the page may be mapped as state.prot says; else RETRY or an error.

    Source: Mach vm/vm_fault.c, vm_fault (the copy-object push).
    Enter:  anything (state.object is locked).
    Exit:   anything (FOUND: state.object locked, dropped in between, the maps perhaps
            unlocked; otherwise nothing is locked and nothing owned).
    Takes:  any.
    Sleeps: yes (the copy's page; the copy's pager; memory).
    """
    tries = 0
    while copy_is_due(state):
        object = state.object
        reference = object.copy
        if not state.fault_type & VM_PROT_WRITE:
            state.prot &= ~VM_PROT_WRITE
            state.pushed = reference
            break
        copy = vm.objects(reference)
        if not copy.lock.try_acquire():
            let_holder_pass(vm, object, tries)
            tries += 1
            continue
        result = push_to(vm, state, copy)
        if result == PUSHED:
            state.pushed = reference
            clear_flags_o(vm, state.page, PG_COPYONWRITE)
        elif result != LOOK_AGAIN:
            return result
    return FOUND


@contract
def let_holder_pass(vm: Vm, object: VmObject, tries: int) -> None:
    """Unlock the object for a while: the thread that holds its copy-object may want it next.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.release()
    yield_to_holder(vm, tries)
    object.lock.acquire()


@contract
def push_to(vm: Vm, state: FaultState, copy: VmObject) -> int:
    """PUSHED or LOOK_AGAIN with state.object locked, or the end of the fault with nothing.

    Enter:  anything (state.object and copy are locked).
    Exit:   copy unlocked.
    Takes:  any.
    Sleeps: yes (the copy's page; the copy's pager; memory).
    """
    offset = state.first_offset - copy.shadow_offset
    if offset >= copy.size:  # the file has grown since: the copy never saw this page
        copy.lock.release()
        return PUSHED
    there = vm_page_lookup(vm, copy, offset)
    if there is None:
        return push_absent(vm, state, copy, offset)
    if there.flags_o & PG_BUSY:
        return wait_for_copy_page(vm, state, copy, there)
    copy.lock.release()
    return PUSHED


@contract
def wait_for_copy_page(vm: Vm, state: FaultState, copy: VmObject, there: VmPage) -> int:
    """Sleep until the owner of the copy's page is done, keeping our own page busy.

    Enter:  state.object, copy locked.
    Exit:   state.object locked; copy unlocked.
    Takes:  any.
    Sleeps: yes (the page).
    """
    intent = PAGE_ASSERT_WAIT(vm, there)
    copy.lock.release()
    state.object.lock.release()
    vm_map_lookup_done(state.lookup)
    vm.me.stats.v_intrans += 1
    thread_block(vm, there, intent)
    vm.native.failure()
    state.object.lock.acquire()
    return LOOK_AGAIN


@contract
def push_absent(vm: Vm, state: FaultState, copy: VmObject, offset: int) -> int:
    """The copy has no such page resident: give it one, unless its pager has it.

    Enter:  anything (state.object and copy are locked).
    Exit:   copy unlocked.
    Takes:  any.
    Sleeps: yes (the copy's pager; memory).
    """
    object = state.object
    copy.ref_count += 1
    vm_object_paging_begin(vm, copy)  # we are going to own a busy page there
    page = vm_page_alloc(vm, copy, offset)
    if page is None:
        leave_copy(vm, copy)
        return push_without_memory(vm, state)
    if copy.pager:
        # Pushed before, and paged out since?  Our paging count keeps the pager in place.
        pager, where = vm.pagers(copy.pager), offset + copy.paging_offset
        object.lock.release()
        copy.lock.release()
        vm_map_lookup_done(state.lookup)
        has_page = vm_pager_has_page(vm, pager, where)
        copy.lock.acquire()
        if not copy.shadow or vm.objects(copy.shadow) is not object:
            FREE_PAGE(vm, page)  # it was put behind a newer copy-object meanwhile
            leave_copy(vm, copy)
            object.lock.acquire()
            return LOOK_AGAIN
        object.lock.acquire()
        if has_page:
            FREE_PAGE(vm, page)
            leave_copy(vm, copy)
            return PUSHED
    give_old_page(vm, state.page, page)
    leave_copy(vm, copy)
    return PUSHED


@contract
def give_old_page(vm: Vm, source: VmPage, target: VmPage) -> None:
    """Fill the copy's page, and let every reader of the old one fault again.

    Readers through the copy-object must find its own page from now on.  Wired mappings
    stay: they belong to entries whose top object is the source's own.

    Enter:  anything (the objects of both pages are locked, both pages are ours).
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    vm_page_copy(vm, source, target)
    clear_flags_o(vm, target, PG_FAKE | PG_CLEAN)
    pmap_page_protect(vm, source, VM_PROT_NONE, True)
    RELEASE_PAGE(vm, target)


@contract
def leave_copy(vm: Vm, copy: VmObject) -> None:
    """Give back the paging count, the lock, and (later) the reference.

    Enter:  copy locked.
    Exit:   copy unlocked.
    Takes:  channel.
    Sleeps: never.
    """
    vm_object_paging_end(vm, copy)
    copy.lock.release()
    release_later(vm, copy, False)  # perhaps the last one: it is terminated when we hold nothing


@contract
def push_without_memory(vm: Vm, state: FaultState) -> int:
    """No frame for the push: give everything up and wait for one.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (memory).
    """
    RELEASE_PAGE(vm, state.page)
    unlock_and_deallocate(vm, state)
    return RETRY if VM_WAIT(vm) else int(KERN_RESOURCE_SHORTAGE)
