"""The swap pager: where an anonymous object keeps pages that are not in memory.

A pager has blocks (runs of swap pages), made when the first page of a run is written;
they are a sparse list, because most of a large object is never swapped.  All of a
pager's state is under its own leaf lock, which is never held across I/O.

A valid bit means "the write has succeeded": a bit that was valid is taken back before
the same page is written again, so no thread reads old or half-written contents.  A block
with a write in flight is never given back, because the disk worker would then write
into the page of another object.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    PG_SWAP,
    VM_PAGER_BAD,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
)
from vmcore.pager.swap_map import swap_map_alloc, swap_map_free
from vmcore.structs import Pager, SwapBlock, VmPage
from vmcore.vm import Vm

KIB = 1024
BLOCK_SIZES = ((1024 * KIB, 16 * KIB), (2048 * KIB, 32 * KIB), (4096 * KIB, 64 * KIB))
LARGEST_BLOCK = 128 * KIB
MASK_BITS = 32  # pages of one block: SwapBlock.swb_mask


def block_pages(size: int, page_size: int) -> int:
    """Pages per block of an object of this size (docs/reference, section 7.1)."""
    size_of_block = next((block for limit, block in BLOCK_SIZES if size <= limit), LARGEST_BLOCK)
    return min(max(size_of_block // page_size, 1), MASK_BITS)


def pager_offset(vm: Vm, page: VmPage) -> int:
    """Where the page lies in its object's pager.

    Called without the object lock: offset, paging_offset and pager are stable while the
    caller owns the page BUSY and a share of the paging count.
    """
    return int(page.offset + vm.objects(page.object).paging_offset)


@contract
def swap_pager_alloc(vm: Vm, size: int) -> Pager | None:
    """A swap pager without any swap space yet, or None when there is no record.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_alloc.
    Enter:  anything.
    Exit:   same.
    Takes:  pool.
    Sleeps: never.
    """
    pager = vm.pagers.allocate()
    if pager is None:
        return None
    pager.pg_type, pager.pg_handle, pager.pg_object = PG_SWAP, 0, 0
    pager.sw_osize = -(-size // vm.page_size) * vm.page_size
    pager.sw_bsize = block_pages(size, vm.page_size)
    pager.sw_poip = pager.sw_cnt = pager.sw_first = 0
    return pager


def find_block(vm: Vm, pager: Pager, index: int) -> SwapBlock | None:
    """The block with this number; pager lock held."""
    views, slot = vm.swap_blocks.views, pager.sw_first
    while slot:
        block: SwapBlock = views[slot]
        if block.index == index:
            return block
        slot = block.next
    return None


@contract
def make_block(vm: Vm, pager: Pager, index: int) -> SwapBlock | None:
    """A new block with swap space; None when records or space have run out.

    Enter:  pager locked.
    Exit:   same.
    Takes:  pool, swap map.
    Sleeps: never.
    """
    block = vm.swap_blocks.allocate()
    if block is None:
        return None
    first = swap_map_alloc(vm, pager.sw_bsize, block.slot)
    if not first:
        vm.swap_blocks.free(block)
        return None
    block.pager, block.index, block.swb_block = vm.pagers.ref(pager), index, first
    block.swb_mask = block.writes = 0
    block.next = pager.sw_first
    pager.sw_first = block.slot
    return block


@contract
def free_block(vm: Vm, pager: Pager, block: SwapBlock) -> None:
    """Give back a block without valid pages and without writes in flight.

    Enter:  pager locked.
    Exit:   same.
    Takes:  pool, swap map.
    Sleeps: never.
    """
    views, slot = vm.swap_blocks.views, pager.sw_first
    if slot == block.slot:
        pager.sw_first = block.next
    else:
        while views[slot].next != block.slot:
            slot = views[slot].next
        views[slot].next = block.next
    swap_map_free(vm, block.swb_block, pager.sw_bsize, block.slot)
    vm.swap_blocks.free(block)


@contract
def begin_write(vm: Vm, pager: Pager, offset: int, asynchronous: bool, pages: int = 1) -> SwapBlock | None:
    """Find or make the place of a run of pages of one block; old contents stop being valid now.

    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager, pool, swap map.
    Sleeps: never.
    """
    index, first = place(vm, pager, offset)
    bits = run_bits(first, pages)
    pager.lock.acquire()
    block = find_block(vm, pager, index) or make_block(vm, pager, index)
    if block is not None:
        make_invalid(pager, block, bits)
        block.writes += 1
        if asynchronous:
            pager.sw_poip += 1
    pager.lock.release()
    return block


@contract
def make_invalid(pager: Pager, block: SwapBlock, bits: int) -> None:
    """What these pages of the block hold is old from now on.

    Enter:  pager locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    pager.sw_cnt -= (block.swb_mask & bits).bit_count()
    block.swb_mask &= ~bits


@contract
def make_valid(pager: Pager, block: SwapBlock, bits: int) -> None:
    """These pages of the block have been written; none of them was valid meanwhile.

    Enter:  pager locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    block.swb_mask |= bits
    pager.sw_cnt += bits.bit_count()


@contract
def is_unused(block: SwapBlock) -> bool:
    """No valid page, and none that is being written: the block may go.

    Enter:  anything (the block's pager is locked).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return not block.swb_mask and not block.writes


def place(vm: Vm, pager: Pager, offset: int) -> tuple[int, int]:
    """(block number, mask bit) of a pager offset."""
    index, within = divmod(offset >> vm.page_shift, pager.sw_bsize)
    return index, 1 << within


def run_bits(first: int, pages: int) -> int:
    """The mask bits of a run of pages that begins at bit ``first``."""
    return first * ((1 << pages) - 1)


@contract
def end_write(vm: Vm, pager: Pager, block: SwapBlock, bits: int, good: bool, asynchronous: bool) -> None:
    """The write is over: valid if it succeeded, and a block that holds nothing goes.

    The count of asynchronous writes drops in the same section, *before* the record
    is marked: as soon as it is, a reaper may take the paging count to zero, and then
    another thread may part with the pager under locks that forbid it to wait for us.

    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager, pool, swap map, channel.
    Sleeps: never.
    """
    pager.lock.acquire()
    block.writes -= 1
    if good:
        make_valid(pager, block, bits)
    elif is_unused(block):
        free_block(vm, pager, block)
    if asynchronous:
        pager.sw_poip -= 1
        if not pager.sw_poip:
            pager.chan.wakeup()
    pager.lock.release()


@contract
def swap_pager_write_sync(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Write the page and wait for it.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  pager, pool, swap map, channel.
    Sleeps: yes (the write).
    """
    offset = pager_offset(vm, page)
    if offset >= pager.sw_osize:
        return VM_PAGER_BAD
    block = begin_write(vm, pager, offset, False)
    if block is None:
        return VM_PAGER_FAIL
    _, bit = place(vm, pager, offset)
    good = vm.io.swap_write(block.swb_block + bit.bit_length() - 1, vm.frames[page.slot])
    end_write(vm, pager, block, bit, good, False)
    return VM_PAGER_OK if good else VM_PAGER_ERROR


@contract
def swap_pager_getpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Read the page from swap; FAIL at once, without sleeping, when it is not there.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_getpage.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: yes (the read).
    """
    offset = pager_offset(vm, page)
    if offset >= pager.sw_osize:
        return VM_PAGER_FAIL
    index, bit = place(vm, pager, offset)
    pager.lock.acquire()
    block = find_block(vm, pager, index)
    valid = block is not None and bool(block.swb_mask & bit)
    where = block.swb_block + bit.bit_length() - 1 if block is not None else 0
    pager.lock.release()
    if not valid:
        return VM_PAGER_FAIL
    # No thread gives the block back meanwhile: the caller's paging count keeps away what could
    # (remove, deallocate), and only the caller, which owns the page BUSY, may write it.
    return VM_PAGER_OK if vm.io.swap_read(where, vm.frames[page.slot]) else VM_PAGER_ERROR


@contract
def swap_pager_haspage(vm: Vm, pager: Pager, offset: int) -> bool:
    """Is there a valid page at this pager offset?

    Source: 4.4BSD vm/swap_pager.c, swap_pager_haspage.
    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    if offset >= pager.sw_osize:
        return False
    index, bit = place(vm, pager, offset)
    pager.lock.acquire()
    block = find_block(vm, pager, index)
    valid = block is not None and bool(block.swb_mask & bit)
    pager.lock.release()
    return valid


@contract
def swap_pager_remove(vm: Vm, pager: Pager, start: int, end: int) -> int:
    """Forget the pages of [start, end), end 0 meaning all the rest; how many there were.

    Source: NetBSD vm/swap_pager.c (1997), swap_pager_remove.
    Enter:  pager unlocked (the object's paging count is 0: no write is in flight).
    Exit:   same.
    Takes:  pager, pool, swap map.
    Sleeps: never.
    """
    size = pager.sw_bsize
    low = start >> vm.page_shift
    high = (min(end, pager.sw_osize) if end else pager.sw_osize) + vm.page_size - 1 >> vm.page_shift
    gone = 0
    pager.lock.acquire()
    for block in blocks_of(vm, pager):
        first = block.index * size
        wanted = range_mask(max(low - first, 0), min(high - first, size)) & block.swb_mask
        if wanted:
            block.swb_mask &= ~wanted
            gone += wanted.bit_count()
        if wanted and is_unused(block):
            free_block(vm, pager, block)
    pager.sw_cnt -= gone
    pager.lock.release()
    return gone


def blocks_of(vm: Vm, pager: Pager) -> list[SwapBlock]:
    """The pager's blocks as of now; pager lock held."""
    views, found, slot = vm.swap_blocks.views, [], pager.sw_first
    while slot:
        found.append(views[slot])
        slot = views[slot].next
    return found


def range_mask(low: int, high: int) -> int:
    """Bits low to high - 1."""
    return (1 << high) - (1 << low) if high > low else 0


@contract
def swap_pager_next(vm: Vm, pager: Pager, offset: int) -> int:
    """The smallest valid pager offset that is no less than this, or ``sw_osize``.

    Source: NetBSD vm/swap_pager.c (1997), swap_pager_next.
    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    low, size = offset + vm.page_size - 1 >> vm.page_shift, pager.sw_bsize
    best = int(pager.sw_osize) >> vm.page_shift
    pager.lock.acquire()
    for block in blocks_of(vm, pager):
        first = block.index * size
        left = block.swb_mask & ~range_mask(0, max(low - first, 0))
        if left:
            best = min(best, first + (left & -left).bit_length() - 1)
    pager.lock.release()
    return best << vm.page_shift


@contract
def swap_pager_dealloc(vm: Vm, pager: Pager) -> None:
    """Free every block, then the pager.  Its object is idle and no longer names it.

    With the paging count at 0 no write is in flight, so the wait never happens and
    the caller may hold object locks.  The wait is there in case that rule is broken.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_dealloc.
    Enter:  pager unlocked.
    Exit:   same.
    Takes:  pager, pool, swap map, channel.
    Sleeps: yes (swpgdealloc, only if a write is in flight).
    """
    pager.lock.acquire()
    while pager.sw_poip:
        pager.chan.sleep(pager.lock, "swpgdealloc", until=(pager, "sw_poip", 0))
        pager.lock.acquire()
    for block in blocks_of(vm, pager):
        free_block(vm, pager, block)
    pager.sw_cnt = pager.pg_object = 0
    pager.lock.release()
    vm.pagers.free(pager)
