"""Pagers, whatever their kind: the one place that knows which kinds there are.

Offsets here are the pager's own.  ``get`` and ``put`` are called without any lock, by
the owner of the BUSY page and of a share of its object's paging count; those two keep
page, object and pager where they are.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.constants import PG_DEVICE, PG_SWAP, VM_PAGER_OK
from vmcore.page_events import IN, IN_FAILED, OUT, OUT_DONE, OUT_FAILED, passes
from vmcore.pager.device_pager import (
    device_pager_dealloc,
    device_pager_getpage,
    device_pager_haspage,
    device_pager_putpage,
)
from vmcore.pager.named_list import leave_named
from vmcore.pager.swap import (
    pager_offset,
    swap_pager_alloc,
    swap_pager_dealloc,
    swap_pager_getpage,
    swap_pager_haspage,
    swap_pager_next,
    swap_pager_remove,
    swap_pager_write_sync,
)
from vmcore.pager.swap_io import swap_pager_write_async
from vmcore.pager.vnode_pager import (
    vnode_pager_dealloc,
    vnode_pager_getpage,
    vnode_pager_haspage,
    vnode_pager_putpage,
)
from vmcore.structs import Pager, VmPage
from vmcore.vm import Vm


@contract
def vm_pager_allocate(vm: Vm, kind: int, handle: int, size: int) -> Pager | None:
    """A pager without a name; a file's pager comes with its object from vnode_pager_alloc.

    Source: Mach vm/vm_pager.c, vm_pager_allocate.
    Enter:  anything.
    Exit:   same.
    Takes:  pool.
    Sleeps: never.
    """
    if kind != PG_SWAP or handle:
        raise Panic(f"vm_pager_allocate makes no pager of kind {kind} for handle {handle}")
    return swap_pager_alloc(vm, size)


def vm_pager_deallocate(vm: Vm, pager: Pager) -> None:
    """Part with a pager that no object names any more.

    Source: Mach vm/vm_pager.c, vm_pager_deallocate.  No contract of its own: a swap
    pager goes under object locks too, a vnode pager, a named one or a device's only with
    nothing locked.
    """
    if pager.pg_type == PG_SWAP:
        if pager.pg_handle:
            leave_named(vm, pager)
        swap_pager_dealloc(vm, pager)
    elif pager.pg_type == PG_DEVICE:
        device_pager_dealloc(vm, pager)
    else:
        vnode_pager_dealloc(vm, pager)


@contract
def vm_pager_get_pages(vm: Vm, pager: Pager, page: VmPage, sync: bool) -> int:
    """Fill the page from backing store; VM_PAGER_OK, FAIL, BAD or ERROR.

    Source: Mach vm/vm_pager.c, vm_pager_get.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the read).
    """
    if not sync:
        raise Panic("page-ins are synchronous")
    if pager.pg_type == PG_DEVICE:
        return device_pager_getpage(vm, pager, page)  # no transfer: nothing to count, delay or fail
    passes(vm, IN, page)
    answer = vm.io.result("get", pager.slot, pager_offset(vm, page))
    if answer is not None:
        passes(vm, IN_FAILED, page)
        return answer
    get = swap_pager_getpage if pager.pg_type == PG_SWAP else vnode_pager_getpage
    result = get(vm, pager, page)
    if result == VM_PAGER_OK:
        stats = vm.me.stats
        stats.pager_reads += 1
        stats.v_pageins += 1
        stats.v_pgpgin += 1
    else:
        passes(vm, IN_FAILED, page)
    return result


@contract
def vm_pager_put_pages(vm: Vm, pager: Pager, page: VmPage, sync: bool) -> int:
    """Write the page to backing store; PEND: page and paging count are no longer ours.

    Source: Mach vm/vm_pager.c, vm_pager_put.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the write, unless it is only queued).
    """
    if pager.pg_type == PG_DEVICE:
        return device_pager_putpage(vm, pager, page)
    answer = vm.io.result("put", pager.slot, pager_offset(vm, page))
    if answer is not None:
        passes(vm, OUT_FAILED, page)
        return answer
    if pager.pg_type == PG_SWAP and not sync:
        return swap_pager_write_async(vm, pager, page)  # begins and ends elsewhere
    passes(vm, OUT, page)
    write = swap_pager_write_sync if pager.pg_type == PG_SWAP else vnode_pager_putpage
    result = write(vm, pager, page)
    passes(vm, OUT_DONE if result == VM_PAGER_OK else OUT_FAILED, page)
    return result


def vm_pager_has_page(vm: Vm, pager: Pager, offset: int) -> bool:
    """Does the pager have a page at this offset of its own?"""
    if pager.pg_type == PG_SWAP:
        return swap_pager_haspage(vm, pager, offset)
    if pager.pg_type == PG_DEVICE:
        return device_pager_haspage(vm, pager, offset)
    return vnode_pager_haspage(vm, pager, offset)


def vm_pager_remove(vm: Vm, pager: Pager, start: int, end: int) -> int:
    """Forget the pages of [start, end), end 0 meaning the rest; how many there were."""
    require_swap(pager, "remove")
    return swap_pager_remove(vm, pager, start, end)


def vm_pager_next(vm: Vm, pager: Pager, offset: int) -> int:
    """The smallest offset >= offset that the pager has, or its size."""
    require_swap(pager, "next")
    return swap_pager_next(vm, pager, offset)


@contract
def vm_pager_count(vm: Vm, pager: Pager) -> int:  # noqa: ARG001 - the other five take it too
    """How many pages the pager holds.

    Source: NetBSD vm/vm_pager.h (1996), pgo_count.
    Enter:  anything (the pager's object is locked, and no thread pages on it).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    require_swap(pager, "count")
    return int(pager.sw_cnt)


def require_swap(pager: Pager, what: str) -> None:
    """These three exist for collapse, which never meets a file."""
    if pager.pg_type != PG_SWAP:
        raise Panic(f"pager {pager.slot} of kind {pager.pg_type} has no {what}")
