"""Fault, second half: a page found below the top object is copied up, or shown read-only."""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    PG_CLEAN,
    PG_COPYONWRITE,
    PG_FAKE,
    VM_PROT_NONE,
    VM_PROT_WRITE,
)
from vmcore.fault.fault_state import FaultState
from vmcore.object.collapse import vm_object_collapse
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page_flags import clear_flags_o, set_flags_o
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.page_wait import page_wakeup
from vmcore.page_events import COPIED, SLOTS
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


@contract
def fault_copy(vm: Vm, state: FaultState) -> None:
    """Deal with a page that lies below the top object.

    Source: Mach vm/vm_fault.c, vm_fault (copy-on-write).
    Enter:  state.object locked.
    Exit:   state.object locked (after a copy, the top object).
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    if state.fault_type & VM_PROT_WRITE or state.wired:
        # For a wired entry always: its mapping must not show a page in front of which another
        # thread's fault, through the same top object, puts a new one.
        copy_up(vm, state)
        state.object.lock.acquire()
        publish_copy(vm, state)
        # The chain may just have become collapsible.  We keep our paging count and say
        # so: dropped around the call it would let others take our busy page for idle.
        # Not yet for a wired entry: below us lies the page that is still wired, hidden
        # now, and the overlay would discard it (see fault_wired.py).
        if not state.wired:
            vm_object_collapse(vm, state.first, False, 1)
    else:
        state.prot &= ~VM_PROT_WRITE
        set_flags_o(vm, state.page, PG_COPYONWRITE)


@contract
def copy_up(vm: Vm, state: FaultState) -> None:
    """Copy the page's bytes into our placeholder in the top object, let the page go.

    Its mappings go first, so that all users fault again and find the new page where
    they should see it, and no thread stores into the frame while we read it.  Wired ones
    stay: they belong to entries whose top object is the page's own.

    The placeholder's flags are not touched here: they are guarded by the lock of the
    top object, whose users may be marking it WANTED this very moment.

    Enter:  state.object locked.
    Exit:   nothing locked (but the maps; state.object is the top object, unlocked).
    Takes:  any.
    Sleeps: never.
    """
    object, page, copy = state.object, state.page, state.fake
    assert copy is not None
    pmap_page_protect(vm, page, VM_PROT_NONE, True)
    vm.frames[copy.slot][:] = vm.frames[page.slot]
    vm.point(COPIED, copy.slot | page.slot << SLOTS)  # pack(), spelled out for speed
    leave_source(vm, object, page)
    state.object, state.offset = state.first, state.first_offset


@contract
def leave_source(vm: Vm, object: VmObject, page: VmPage) -> None:
    """Let the copied page go, and its object.

    It is a candidate for page-out: the process that copied it will not use it again.

    Enter:  object locked.
    Exit:   object unlocked.
    Takes:  page queues, pv, pmap, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()
    vm_object_paging_end(vm, object)
    object.lock.release()


@contract
def publish_copy(vm: Vm, state: FaultState) -> None:
    """The placeholder now has contents, and they are newer than any pager's.

    Enter:  state.object locked (the top object).
    Exit:   same.
    Takes:  page queues.
    Sleeps: never.
    """
    copy = state.fake
    assert copy is not None
    clear_flags_o(vm, copy, PG_FAKE | PG_CLEAN)
    state.page, state.fake, state.copied = copy, None, True
    vm.me.stats.v_cow_faults += 1
