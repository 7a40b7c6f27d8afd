"""Read-ahead: a page-in that also fetches the neighbours it will probably be asked for next.

Neighbours are taken only if they cost nothing that another thread needs: they are valid in
the pager, absent in the object, and there are more free frames than the daemon keeps.
No thread ever waits for a frame to read ahead.  Each one is BUSY and FAKE while it is read,
under the paging count that the fault holds on the object anyway, and it is given up
before the fault does anything else, so nothing waits for two pages at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.locks.contract import contract
from vmcore.constants import PG_FAKE, PG_SWAP, VM_PAGER_OK
from vmcore.page.page import reserve_for, vm_page_alloc, vm_page_free, vm_page_lookup
from vmcore.page.page_flags import clear_flags_o
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.page_wait import page_wakeup
from vmcore.pager.cluster import swap_pager_valid, vm_pager_cluster, vm_pager_get_cluster
from vmcore.pager.pager import vm_pager_get_pages
from vmcore.structs import Pager, VmObject, VmPage
from vmcore.vm import Vm


@contract
def read_ahead(vm: Vm, object: VmObject, pager: Pager, page: VmPage) -> list[VmPage]:
    """The run to read around a fresh page, lowest offset first; the page alone when nothing goes along.

    Forwards first: most programs go that way.

    Enter:  object locked (the page in it is ours, and so is a share of its paging count).
    Exit:   same.
    Takes:  free list, page queues, page hash, pager, pages needed, channel.
    Sleeps: never.
    """
    room = vm.config.cluster_pages - 1
    if not room or vm.g.v_free_count <= vm.g.v_free_target:  # a hint: each frame is tested again
        return [page]
    size, here, base = vm.page_size, page.offset, object.paging_offset
    start, end = vm_pager_cluster(vm, pager, here + base)
    valid = valid_pages(vm, pager, here + base, start, end)
    if not valid >> (here + base - start >> vm.page_shift) & 1:
        return [page]  # the pager does not have the one that we came for
    first, last = max(start - base, 0), min(end - base, object.size)
    after = allocate_run(vm, object, range(here + size, last, size), room, valid, start - base)
    room -= len(after)
    before = allocate_run(vm, object, range(here - size, first - 1, -size), room, valid, start - base)
    return [*reversed(before), page, *after]


def valid_pages(vm: Vm, pager: Pager, offset: int, start: int, end: int) -> int:
    """One bit per page of the window: does the pager have it?"""
    if pager.pg_type == PG_SWAP:
        return swap_pager_valid(vm, pager, offset)
    return (1 << (max(end - start, 0) >> vm.page_shift)) - 1


def allocate_run(
    vm: Vm, object: VmObject, offsets: Iterable[int], most: int, valid: int, start: int
) -> list[VmPage]:
    """Fresh pages at these offsets, up to the first that cannot be; object locked."""
    found: list[VmPage] = []
    reserve = max(vm.g.v_free_target, reserve_for(vm, object))
    for offset in offsets:
        if len(found) == most or not valid >> (offset - start >> vm.page_shift) & 1:
            break
        if vm_page_lookup(vm, object, offset) is not None:
            break
        page = vm_page_alloc(vm, object, offset, reserve)
        if page is None:
            break
        found.append(page)
    return found


@contract
def get_run(vm: Vm, pager: Pager, pages: list[VmPage], page: VmPage) -> tuple[int, bool]:
    """Read the run; the answer for the page itself, and whether its neighbours came too.

    A neighbour that cannot be read must not make the fault fail: then the page is
    read again, alone.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the read).
    """
    if len(pages) > 1:
        result = vm_pager_get_cluster(vm, pager, pages)
        if result == VM_PAGER_OK:
            return result, True
    return vm_pager_get_pages(vm, pager, page, True), False


@contract
def give_up_neighbours(vm: Vm, pages: list[VmPage], page: VmPage, good: bool) -> None:
    """Everything but the page itself: to the inactive queue, clean, or away again.

    Enter:  anything (the pages' object is locked).
    Exit:   same.
    Takes:  page queues, pv, pmap, page hash, free list, channel.
    Sleeps: never.
    """
    if len(pages) == 1:
        return
    vm.page_queue_lock.acquire()
    for each in pages:
        if each is page:
            continue
        if good:
            clear_flags_o(vm, each, PG_FAKE)  # CLEAN since it was allocated; no process has mapped it
        page_wakeup(vm, each)
        if good:
            vm_page_deactivate(vm, each)
        else:
            vm_page_free(vm, each)
    vm.page_queue_lock.release()
