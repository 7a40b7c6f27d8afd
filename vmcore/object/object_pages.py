"""Operations on all pages of one object: clean, deactivate, protect; and its pager.

``vm_object_page_clean`` is msync and the last act of a dying file object.  It drops the
object lock around every write, so the page list is read again from the head after each
one; offsets that it has dealt with are remembered, or a busy writer could keep it here
for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from harness.locks.contract import contract
from vmcore.constants import (
    OBJ_INTERNAL,
    OBJ_PAGERALLOC,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_COPYONWRITE,
    PG_FICTITIOUS,
    PG_INACTIVE,
    PG_LAUNDRY,
    VM_PAGER_AGAIN,
    VM_PAGER_OK,
    VM_PAGER_PEND,
    VM_PROT_NONE,
    VM_PROT_READ,
)
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object_pager import ensure_pager
from vmcore.page.object_paging import (
    vm_object_paging_begin,
    vm_object_paging_end,
    vm_object_paging_turn,
)
from vmcore.page.page import object_pages
from vmcore.page.page_flags import clear_flags_o, clear_flags_p, set_flags_o
from vmcore.page.page_queues import page_dequeue, vm_page_activate, vm_page_deactivate
from vmcore.page.page_wait import PAGE_ASSERT_WAIT, page_busy, page_wakeup, thread_block
from vmcore.page.vm_wait import wake_daemon
from vmcore.pager.pager import vm_pager_put_pages
from vmcore.pmap.pmap import pmap_clear_modify, pmap_is_modified, pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm

BACK_OFF_S = 0.001


@contract
def vm_object_page_clean(
    vm: Vm,
    object: VmObject | None,
    start: int,
    end: int,
    sync: bool,
    dequeue: bool,
    terminating: bool = False,
) -> bool:
    """Write every dirty page of [start, end) to the pager; start == end means all.

    True when there is a pager and no write failed.  A page whose write failed stays
    dirty: calling it clean would lose the store without a trace.  A write that cannot be
    queued, because records or frames ran out, is waited for instead.

    Source: Mach vm/vm_object.c, vm_object_page_clean.
    Enter:  object locked (and referenced by the caller, or being terminated by the caller).
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (writes; vospgc; busy pages).
    """
    if object is None:
        return True
    drain_paging(vm, object)
    if not pager_to_clean_with(vm, object):
        return False
    handled: set[int] = set()
    clean, patient = True, sync
    while (page := next_to_clean(vm, object, start, end, sync, dequeue, handled)) is not None:
        offset = page.offset
        result = write_page(vm, object, page, patient, dequeue, terminating)
        if result == VM_PAGER_AGAIN:
            if patient:
                back_off(vm, object)
            # With memory and swap full no frame for a queued write may ever come: write it ourselves.
            patient = True
            continue
        handled.add(offset)
        if result not in (VM_PAGER_OK, VM_PAGER_PEND):
            clean = False
    return clean


@contract
def drain_paging(vm: Vm, object: VmObject) -> None:
    """Let page-outs in flight end first, so that we do not write the same page twice.

    Bounded: the walk below waits for single busy pages anyway, so idleness is a convenience, and under
    many faulting processes it may never come.  A bound on the number of wakeups at zero would not do:
    the count may never be zero again (docs/postmortems.md, 41).  So as many ends are waited for as there
    were owners.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    for _ in range(object.paging_in_progress):
        vm_object_paging_turn(vm, object, "vospgc")
        if object.paging_in_progress:
            vm.native.failure()  # another thread began paging first: a try in vain, which the watchdog counts


@contract
def pager_to_clean_with(vm: Vm, object: VmObject) -> bool:
    """Is there a pager, or can there be one?  Anonymous memory gets its first one here.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (vospgc, when another thread allocates the pager; collapse pages in).
    """
    if object.pager or not object.flags & OBJ_INTERNAL:
        return bool(object.pager)
    vm_object_collapse(vm, object)  # it may inherit one
    while not ensure_pager(vm, object):
        if not object.flags & OBJ_PAGERALLOC:
            return False  # no record left
        vm_object_paging_turn(vm, object, "vospgc")
    return True


@contract
def next_to_clean(
    vm: Vm, object: VmObject, start: int, end: int, sync: bool, dequeue: bool, handled: set[int]
) -> VmPage | None:
    """The first dirty page of the range that this call has not dealt with; it stays queued.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (busy pages, when sync).
    """
    again = True
    while again:
        again = False
        for page in left_to_clean(vm, object, start, end, handled):
            if page.flags_o & PG_BUSY:
                if not sync:
                    continue  # another thread fills or writes it: not ours to wait for
                intent = PAGE_ASSERT_WAIT(vm, page)
                object.lock.release()
                thread_block(vm, page, intent)
                object.lock.acquire()
                again = True
                break
            if needs_write(vm, page, dequeue):
                return page
    return None


def left_to_clean(vm: Vm, object: VmObject, start: int, end: int, handled: set[int]) -> Iterator[VmPage]:
    """The pages of the range (start == end: all) that are not dealt with yet.  Object locked."""
    everything = start == end
    for page in object_pages(vm, object):
        offset = page.offset
        inside = everything or start <= offset < end
        if inside and offset not in handled and not page.flags_o & PG_FICTITIOUS:
            yield page


@contract
def needs_write(vm: Vm, page: VmPage, dequeue: bool) -> bool:
    """Is the page dirty?  A clean one leaves its queue, if that is asked for.

    Enter:  anything (the page's object is locked, the page not busy).
    Exit:   same.
    Takes:  page queues, pv, pmap.
    Sleeps: never.
    """
    if is_dirty(vm, page):
        return True
    if dequeue:
        vm.page_queue_lock.acquire()
        page_dequeue(vm, page)
        vm.page_queue_lock.release()
    return False


def is_dirty(vm: Vm, page: VmPage) -> bool:
    """Does the page differ from the pager's copy?  Object locked, page not busy.

    Write-protect first, test after: the other way round a store between the two makes
    a dirty page look clean.
    """
    pmap_page_protect(vm, page, VM_PROT_READ)
    if not page.flags_o & PG_CLEAN:
        return True
    return pmap_is_modified(vm, page)


@contract
def write_page(vm: Vm, object: VmObject, page: VmPage, sync: bool, dequeue: bool, terminating: bool) -> int:
    """Hand one dirty page to the pager and take it back.

    After PEND the page and our share of the paging count belong to the completion;
    the page may even be gone by the time we look, so we do not.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the write).
    """
    pager = vm.pagers(object.pager)
    came_from = own_for_write(vm, page)
    vm_object_paging_begin(vm, object, terminating)
    object.lock.release()
    result: int = vm_pager_put_pages(vm, pager, page, sync)
    object.lock.acquire()
    if result == VM_PAGER_PEND:
        return result
    if result == VM_PAGER_OK:
        mark_clean(vm, page)
    take_back(vm, page, 0 if dequeue else came_from, dequeue)
    vm_object_paging_end(vm, object)
    return result


@contract
def mark_clean(vm: Vm, page: VmPage) -> None:
    """The pager has what the page holds.

    Enter:  anything (the page's object is locked, the page ours).
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    set_flags_o(vm, page, PG_CLEAN)
    pmap_clear_modify(vm, page)


@contract
def own_for_write(vm: Vm, page: VmPage) -> int:
    """Own the page, off its queue, where the daemon cannot meet it; the queue that it was on.

    Enter:  anything (the page's object is locked).
    Exit:   same.
    Takes:  page queues.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    came_from = leave_queue(vm, page)
    clear_flags_o(vm, page, PG_CLEAN)  # folds the modify bit in, if that is what made it dirty
    page_busy(vm, page)
    vm.page_queue_lock.release()
    return came_from


@contract
def leave_queue(vm: Vm, page: VmPage) -> int:
    """Take the page off its queue, laundry or not; which queue that was.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    came_from = int(page.flags_p & (PG_ACTIVE | PG_INACTIVE))
    page_dequeue(vm, page)
    clear_flags_p(vm, page, PG_LAUNDRY)
    return came_from


@contract
def take_back(vm: Vm, page: VmPage, came_from: int, dequeue: bool) -> None:
    """Un-busy the page and queue it by what it is now, not by what it was.

    It may have been wired since: then it belongs on no queue.  All in one section,
    or a page that is neither busy nor queued could be met by another thread.

    Enter:  anything (the page's object is locked).
    Exit:   same.
    Takes:  page queues, pv, pmap, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    if not dequeue and not page.wire_count:
        if came_from == PG_INACTIVE:
            vm_page_deactivate(vm, page)  # sets LAUNDRY when it is still dirty
        else:
            vm_page_activate(vm, page)
    vm.page_queue_lock.release()


@contract
def back_off(vm: Vm, object: VmObject) -> None:
    """The pager is short of something: let writes in flight finish before we ask again.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (a moment).
    """
    object.lock.release()
    vm.native.failure()
    wake_daemon(vm)  # it reaps the writes whose records or frames we lack
    time.sleep(BACK_OFF_S)
    object.lock.acquire()


@contract
def vm_object_deactivate_pages(vm: Vm, object: VmObject) -> None:
    """Move the object's active pages to the inactive queue.

    Only active ones: wired and busy pages are on no queue and must stay so, and
    vm_page_deactivate would take an unqueued page without asking.

    Source: Mach vm/vm_object.c, vm_object_deactivate_pages.
    Enter:  object locked.
    Exit:   same.
    Takes:  page queues, pv, pmap.
    Sleeps: never.
    """
    for page in object_pages(vm, object):
        vm.page_queue_lock.acquire()
        if page.flags_p & PG_ACTIVE:
            vm_page_deactivate(vm, page)
        vm.page_queue_lock.release()


@contract
def vm_object_pmap_copy(vm: Vm, object: VmObject | None, start: int, end: int) -> None:
    """Make every mapping of the range read-only, in every map; busy pages too.

    Source: Mach vm/vm_object.c, vm_object_pmap_copy.
    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, pv, pmap.
    Sleeps: never.
    """
    if object is None:
        return
    object.lock.acquire()
    for page in object_pages(vm, object):
        if start <= page.offset < end:
            pmap_page_protect(vm, page, VM_PROT_READ)
            set_flags_o(vm, page, PG_COPYONWRITE)
    object.lock.release()


@contract
def vm_object_pmap_remove(vm: Vm, object: VmObject | None, start: int, end: int) -> None:
    """Remove every mapping of the range from every map.

    Source: Mach vm/vm_object.c, vm_object_pmap_remove.
    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, pv, pmap, pool.
    Sleeps: never.
    """
    if object is None:
        return
    object.lock.acquire()
    for page in object_pages(vm, object):
        if start <= page.offset < end:
            pmap_page_protect(vm, page, VM_PROT_NONE)
    object.lock.release()
