"""Throwing pages of an object away: truncation, and the second half of an invalidating msync.

Two kinds of pages must not be thrown away at once.  A BUSY page belongs to the thread that
pages it in or out: freed meanwhile, its frame would be in other use when the read
completes.  So we wait, with nothing locked.  A wired page may not leave memory at all;
it stays, and is counted.

Every offset is dealt with once per call.  For a truncation that is enough, because the
pager refuses the range before we begin, so nothing comes back; for an invalidation it
is a bound, because everything may come back for ever.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_BUSY, PG_CLEAN, PG_INACTIVE, PG_LAUNDRY, VM_PROT_NONE
from vmcore.page.page import object_pages, vm_page_free
from vmcore.page.page_flags import clear_flags_o, set_flags_p
from vmcore.page.page_wait import PAGE_ASSERT_WAIT, thread_block
from vmcore.pmap.pmap import pmap_is_modified, pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


@contract
def vm_object_page_remove(vm: Vm, object: VmObject, start: int, end: int, spare_dirty: bool = False) -> int:
    """Free the resident pages of [start, end); how many had to stay.

    Wired pages stay; with ``spare_dirty`` so do pages that differ from the pager's copy.
    The caller holds no map lock and no vnode lock: the owner of a busy page may need it.

    Source: Mach vm/vm_object.c, vm_object_page_remove.
    Enter:  object locked (and referenced by the caller).
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (busy pages).
    """
    handled: set[int] = set()
    left, again = 0, True
    while again:
        again = False
        for page in object_pages(vm, object):
            if not start <= page.offset < end or page.offset in handled:
                continue
            if page.flags_o & PG_BUSY:
                wait_for_owner(vm, object, page)
                again = True  # the list is another one now
                break
            handled.add(page.offset)
            left += not remove_page(vm, page, spare_dirty)
    return left


@contract
def wait_for_owner(vm: Vm, object: VmObject, page: VmPage) -> None:
    """Sleep until the page was given up once; the caller looks again, because the page may be gone.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (the page's owner).
    """
    intent = PAGE_ASSERT_WAIT(vm, page)
    object.lock.release()
    thread_block(vm, page, intent)
    object.lock.acquire()


@contract
def remove_page(vm: Vm, page: VmPage, spare_dirty: bool) -> bool:
    """Free one page that no thread owns; False when it stays.

    Unmap first, test after: a store between a test and the unmapping would be lost.

    Enter:  anything (the page's object is locked).
    Exit:   same.
    Takes:  page queues, pv, pmap, pool, page hash, free list.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    stays = page.wire_count > 0
    if not stays:
        pmap_page_protect(vm, page, VM_PROT_NONE)
        stays = spare_dirty and is_dirty(vm, page)
        if stays:
            keep_dirty(vm, page)
        else:
            vm_page_free(vm, page)
    vm.page_queue_lock.release()
    return not stays


def is_dirty(vm: Vm, page: VmPage) -> bool:
    """Does the page differ from the pager's copy?  Object locked, no mapping left."""
    return not page.flags_o & PG_CLEAN or pmap_is_modified(vm, page)


def keep_dirty(vm: Vm, page: VmPage) -> None:
    """Fold the modify bit into CLEAN; object and queue lock held."""
    clear_flags_o(vm, page, PG_CLEAN)
    if page.flags_p & PG_INACTIVE:
        set_flags_p(vm, page, PG_LAUNDRY)
