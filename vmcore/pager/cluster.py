"""Runs of pages: which neighbours of a page one transfer may take along, and that transfer.

A run lies inside one window of its pager and has no gaps, so it is one place in the
store: one read, one write.  The owner of the run has every page of it BUSY, and one
share of the object's paging count for all of them.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    PG_SWAP,
    PG_VNODE,
    VM_PAGER_BAD,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
)
from vmcore.pager.swap import find_block, pager_offset, place, run_bits
from vmcore.pager.swap_io import swap_pager_write_cluster
from vmcore.structs import Pager, VmPage, Vnode
from vmcore.vm import Vm

MAXPHYS = 64 * 1024  # bytes that one transfer may move


def vm_pager_cluster(vm: Vm, pager: Pager, offset: int) -> tuple[int, int]:
    """The pager offsets [start, end) that may travel with the page at ``offset``."""
    if pager.pg_type == PG_SWAP:
        return swap_pager_cluster(vm, pager, offset)
    if pager.pg_type == PG_VNODE:
        return vnode_pager_cluster(vm, pager, offset)
    return offset, offset + vm.page_size


@contract
def swap_pager_cluster(vm: Vm, pager: Pager, offset: int) -> tuple[int, int]:
    """The aligned window of one block or 64 KiB, whichever is less, cut at the pager's end.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_cluster.
    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    window = min(pager.sw_bsize << vm.page_shift, max(MAXPHYS, vm.page_size))
    start = offset - offset % window
    return start, min(start + window, int(pager.sw_osize))


def vnode_pager_cluster(vm: Vm, pager: Pager, offset: int) -> tuple[int, int]:
    """The aligned 64 KiB around a page of a file, cut at the end of the file as of now.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_cluster.
    """
    window = max(MAXPHYS, vm.page_size)
    start = offset - offset % window
    size = -(-vm.vnodes(pager.pg_handle).v_size // vm.page_size) * vm.page_size
    return start, min(start + window, size)


@contract
def swap_pager_valid(vm: Vm, pager: Pager, offset: int) -> int:
    """The valid bits of the block around a pager offset, shifted: bit 0 is the window's first page.

    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    start, end = swap_pager_cluster(vm, pager, offset)
    index, bit = place(vm, pager, start)
    pager.lock.acquire()
    block = find_block(vm, pager, index)
    mask = int(block.swb_mask) if block is not None else 0
    pager.lock.release()
    pages = max(end - start, 0) >> vm.page_shift
    return mask >> (bit.bit_length() - 1) & ((1 << pages) - 1)


@contract
def vm_pager_get_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Fill a run of two pages or more with one read; all of it or nothing.

    Source: 4.4BSD vm/vm_pager.c, vm_pager_get_pages.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode, pager.
    Sleeps: yes (the read).
    """
    answer = vm.io.result("get", pager.slot, pager_offset(vm, pages[0]))
    if answer is not None:
        return answer
    get = swap_pager_get_cluster if pager.pg_type == PG_SWAP else vnode_pager_get_cluster
    result = get(vm, pager, pages)
    if result == VM_PAGER_OK:
        stats = vm.me.stats
        stats.pager_reads += 1
        stats.v_pageins += len(pages)
        stats.v_pgpgin += len(pages)
    return result


@contract
def vm_pager_put_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Write a run of two pages or more; one answer for all of them.

    A swap write is only queued (PEND); a file's is done when this returns.

    Source: NetBSD vm/vm_pager.c, vm_pager_put_pages.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a file's write).
    """
    answer = vm.io.result("put", pager.slot, pager_offset(vm, pages[0]))
    if answer is not None:
        return answer
    if pager.pg_type == PG_SWAP:
        return swap_pager_write_cluster(vm, pager, pages)
    return vnode_pager_put_cluster(vm, pager, pages)


@contract
def swap_pager_get_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Read a run from swap; FAIL when some page of it is not there.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: yes (the read).
    """
    index, bit = place(vm, pager, pager_offset(vm, pages[0]))
    bits = run_bits(bit, len(pages))
    pager.lock.acquire()
    block = find_block(vm, pager, index)
    if block is None or block.swb_mask & bits != bits:
        pager.lock.release()
        return VM_PAGER_FAIL
    where = block.swb_block + bit.bit_length() - 1
    pager.lock.release()
    good = vm.io.swap_read(where, *(vm.frames[page.slot] for page in pages))
    return VM_PAGER_OK if good else VM_PAGER_ERROR


@contract
def vnode_pager_get_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Read a run of a file; what lies beyond its end is zero, BAD when a whole page does.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the read under it).
    """
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    offset = pager_offset(vm, pages[0])
    vnode.lock.acquire()
    memory = up_to_the_end(vm, pages, vnode.v_size - offset)
    came = vm.io.file_read(vnode.number, offset, *memory) if memory else 0
    vnode.lock.release()
    if not memory:
        return VM_PAGER_BAD
    if came < 0:
        return VM_PAGER_ERROR
    for page in pages:
        if came < vm.page_size:
            vm.frames[page.slot][came:] = vm.zeros[came:]
        came = max(came - vm.page_size, 0)
    return VM_PAGER_OK


@contract
def vnode_pager_put_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Write a run of a file, up to its end; BAD, and nothing written, when a whole page lies beyond.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the write under it).
    """
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    offset = pager_offset(vm, pages[0])
    vnode.lock.acquire()
    memory = up_to_the_end(vm, pages, vnode.v_size - offset)
    good = bool(memory) and vm.io.file_write(vnode.number, offset, *memory)
    vnode.lock.release()
    if not memory:
        return VM_PAGER_BAD
    return VM_PAGER_OK if good else VM_PAGER_ERROR


def up_to_the_end(vm: Vm, pages: list[VmPage], left: int) -> list[memoryview]:
    """The frames, the last one cut where the file ends; none when a whole page lies beyond it."""
    last = left - (len(pages) - 1) * vm.page_size
    if last <= 0:
        return []
    memory = [vm.frames[page.slot] for page in pages]
    memory[-1] = memory[-1][: min(last, vm.page_size)]
    return memory
