"""Writing one page out, by the daemon, and what lies beside it.

The daemon arrives with the queue lock and, by a try, the object's.  From ``begin`` on
the page is BUSY and the object's paging count is up, so every lock can be dropped for
the write.  After PEND neither is the daemon's any more: the write may have been finished
and reaped, and the object may be gone.
"""

from __future__ import annotations

from harness.locks.contract import contract
from harness.shm.facts import details_of, report
from vmcore.constants import (
    OBJ_PAGERALLOC,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_VNODE,
    REPORT_INVARIANT,
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
    VM_PAGER_PEND,
    VM_PROT_NONE,
)
from vmcore.object.object_pager import ensure_pager
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page_flags import clear_flags_p, set_flags_o, set_flags_p
from vmcore.page.page_queues import vm_page_activate
from vmcore.page.page_wait import page_busy, page_wakeup
from vmcore.pageout.pageout_cluster import gather_cluster
from vmcore.pager.cluster import vm_pager_put_cluster
from vmcore.pager.pager import vm_pager_put_pages
from vmcore.pmap.pmap import pmap_clear_modify, pmap_clear_reference, pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import broken


@contract
def pageout_page(vm: Vm, page: VmPage, object: VmObject) -> int:
    """Write the page to its pager; the object's lock is consumed.

    Source: NetBSD vm/vm_pageout.c (1998), vm_pageout_page.
    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   vm.page_queue_lock locked, dropped in between.
    Takes:  any.
    Sleeps: yes (a file's write; a swap write is only queued).
    """
    pages = gather_cluster(vm, page, object)
    begin(vm, pages, object)
    vm.page_queue_lock.release()
    result = put(vm, pages, object)
    if result in (VM_PAGER_PEND, VM_PAGER_OK):
        count_pageout(vm, len(pages))
    if result == VM_PAGER_PEND:
        vm.page_queue_lock.acquire()
        return result
    object.lock.acquire()
    vm.page_queue_lock.acquire()
    for each in pages:
        settle(vm, each, object, result, each is page)
        page_wakeup(vm, each)
    vm_object_paging_end(vm, object)
    object.lock.release()
    return result


def count_pageout(vm: Vm, pages: int) -> None:
    """One transfer, so many pages."""
    stats = vm.me.stats
    stats.pager_writes += 1
    stats.v_pageouts += pages
    stats.v_pgpgout += pages


@contract
def begin(vm: Vm, pages: list[VmPage], object: VmObject) -> None:
    """Own the pages and one share of the paging count; no thread can reach the pages any more.

    They stay on the inactive queue without LAUNDRY: being washed.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    for page in pages:
        pmap_page_protect(vm, page, VM_PROT_NONE)
        pmap_clear_reference(vm, page)
        page_busy(vm, page)
        clear_flags_p(vm, page, PG_LAUNDRY)
    vm_object_paging_begin(vm, object)


@contract
def put(vm: Vm, pages: list[VmPage], object: VmObject) -> int:
    """Find or make the pager, let go of the object, and hand the pages over.

    Memory waiters are not woken here: they would take the frame that the write needs.

    Enter:  object locked; vm.page_queue_lock unlocked.
    Exit:   object unlocked; vm.page_queue_lock unlocked.
    Takes:  any.
    Sleeps: yes (a file's write).
    """
    if not ensure_pager(vm, object):
        busy_elsewhere = object.flags & OBJ_PAGERALLOC
        object.lock.release()
        return VM_PAGER_AGAIN if busy_elsewhere else VM_PAGER_FAIL
    pager = vm.pagers(object.pager)
    object.lock.release()
    if len(pages) == 1:
        return vm_pager_put_pages(vm, pager, pages[0], False)
    return vm_pager_put_cluster(vm, pager, pages)


@contract
def settle(vm: Vm, page: VmPage, object: VmObject, result: int, target: bool = True) -> None:
    """The write is over or did not begin: put the page where it belongs now.

    Of a run that cannot be written only the target is activated; the others, which
    merely went along, are laundry again, and the scan comes to each of them.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    if result == VM_PAGER_OK:
        set_flags_o(vm, page, PG_CLEAN)
        pmap_clear_modify(vm, page)
        return
    if target and result not in (VM_PAGER_BAD, VM_PAGER_AGAIN):
        vm_page_activate(vm, page)  # it cannot be written now; others may be
        return
    if page.flags_p & PG_INACTIVE:
        set_flags_p(vm, page, PG_LAUNDRY)  # dirty still, and no thread is washing it
    if target and result == VM_PAGER_BAD and vm.pagers(object.pager).pg_type != PG_VNODE:
        # A file may just be shrinking.  Anonymous memory never lies beyond its pager.
        text = f"page-out of page {page.slot} beyond its pager: object {object.slot} offset {page.offset:#x}"
        fact = broken("", text, object, page)
        report(vm.arena, REPORT_INVARIANT, fact, details_of([fact]))
