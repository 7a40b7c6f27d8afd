"""Writing one page out, by the daemon.

The daemon arrives with the queue lock and, by a try, the object's.  From ``begin`` on
the page is BUSY and the object's paging count is up, so every lock can be dropped for
the write.  After PEND neither is the daemon's any more: the write may have been finished
and reaped, and the object may be gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import contract
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
from vmcore.object_pager import ensure_pager
from vmcore.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page_flags import clear_flags_p, set_flags_o, set_flags_p
from vmcore.page_queues import vm_page_activate
from vmcore.page_wait import page_busy, page_wakeup
from vmcore.pager import vm_pager_put_pages
from vmcore.pmap import pmap_clear_modify, pmap_clear_reference, pmap_page_protect
from vmcore.structs import VmObject, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


@contract
def pageout_page(vm: Vm, page: VmPage, object: VmObject) -> int:
    """Write the page to its pager; the object's lock is consumed.

    Source: NetBSD vm/vm_pageout.c (1998), vm_pageout_page.
    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   vm.page_queue_lock locked, dropped in between.
    Takes:  any.
    Sleeps: yes (a file's write; a swap write is only queued).
    """
    begin(vm, page, object)
    vm.page_queue_lock.release()
    result = put(vm, page, object)
    if result == VM_PAGER_PEND:
        vm.me.stats.v_pageouts += 1
        vm.me.stats.v_pgpgout += 1
        vm.page_queue_lock.acquire()
        return result
    object.lock.acquire()
    vm.page_queue_lock.acquire()
    settle(vm, page, object, result)
    page_wakeup(vm, page)
    vm_object_paging_end(vm, object)
    object.lock.release()
    return result


@contract
def begin(vm: Vm, page: VmPage, object: VmObject) -> None:
    """Own the page and a share of the paging count; nobody can reach the page any more.

    It stays on the inactive queue without LAUNDRY: being washed.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    pmap_page_protect(vm, page, VM_PROT_NONE)
    pmap_clear_reference(vm, page)
    page_busy(vm, page)
    clear_flags_p(vm, page, PG_LAUNDRY)
    vm_object_paging_begin(vm, object)


@contract
def put(vm: Vm, page: VmPage, object: VmObject) -> int:
    """Find or make the pager, let go of the object, and hand the page over.

    Memory waiters are not woken here: they would eat what the write needs.

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
    return vm_pager_put_pages(vm, pager, page, False)


@contract
def settle(vm: Vm, page: VmPage, object: VmObject, result: int) -> None:
    """The write is over or did not begin: put the page where it belongs now.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    if result == VM_PAGER_OK:
        set_flags_o(vm, page, PG_CLEAN)
        pmap_clear_modify(vm, page)
        vm.me.stats.v_pageouts += 1
        vm.me.stats.v_pgpgout += 1
        return
    if result not in (VM_PAGER_BAD, VM_PAGER_AGAIN):
        vm_page_activate(vm, page)  # it cannot be written now; others may be
        return
    if page.flags_p & PG_INACTIVE:
        set_flags_p(vm, page, PG_LAUNDRY)  # dirty still, and nobody is washing it
    if result == VM_PAGER_BAD and vm.pagers(object.pager).pg_type != PG_VNODE:
        # A file may just be shrinking.  Anonymous memory has no business out there.
        text = f"page-out of page {page.slot} beyond its pager: object {object.slot} offset {page.offset:#x}"
        vm.native.report(REPORT_INVARIANT, text)
