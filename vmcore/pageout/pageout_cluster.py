"""The neighbours that a page-out takes along.

What the daemon found by itself is the *target*; around it, in the pager's window, lie
pages that it would come to later in this scan and write one by one.  Only those are
taken: inactive, waiting to be washed, dirty and not used since.  A page that is missing,
wanted or clean ends the run, because a run has no gaps.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.locks.contract import contract
from vmcore.constants import (
    PG_BUSY,
    PG_CLEAN,
    PG_FICTITIOUS,
    PG_INACTIVE,
    PG_LAUNDRY,
)
from vmcore.page.page import vm_page_lookup
from vmcore.pager.cluster import vm_pager_cluster
from vmcore.pmap.pmap import pmap_is_referenced
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm

WASHABLE = PG_INACTIVE | PG_LAUNDRY


@contract
def gather_cluster(vm: Vm, page: VmPage, object: VmObject) -> list[VmPage]:
    """The run around the target, lowest offset first; the target alone when there is no pager yet.

    Backwards first, as the historic code does it.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap, pool, page hash.
    Sleeps: never.
    """
    room = vm.config.cluster_pages - 1
    if not room or not object.pager:
        return [page]
    size, here, base = vm.page_size, page.offset, object.paging_offset
    start, end = vm_pager_cluster(vm, vm.pagers(object.pager), here + base)
    first = max(start - base, 0)  # a pager that was inherited may reach beyond its object
    last = min(end - base, object.size)
    before = run_of(vm, object, range(here - size, first - 1, -size), room)
    after = run_of(vm, object, range(here + size, last, size), room - len(before))
    return [*reversed(before), page, *after]


def run_of(vm: Vm, object: VmObject, offsets: Iterable[int], most: int) -> list[VmPage]:
    """Pages at these offsets that can go along, up to the first that cannot; both locks held."""
    found: list[VmPage] = []
    for offset in offsets:
        if len(found) == most:
            break
        page = vm_page_lookup(vm, object, offset)
        if page is None or not can_go_along(vm, page):
            break
        found.append(page)
    return found


def can_go_along(vm: Vm, page: VmPage) -> bool:
    """Would the scan write this page too?  Its object and the queues are locked."""
    if page.flags_p & WASHABLE != WASHABLE or page.flags_o & (PG_BUSY | PG_CLEAN | PG_FICTITIOUS):
        return False
    return not pmap_is_referenced(vm, page)
