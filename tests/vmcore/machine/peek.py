"""The contents of a space without a fault: what a load would return, and where it lies.

Takes no lock and changes nothing, so it can be used after every step; no thread but the
caller's does anything meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from vmcore.audit.objects import map_entries
from vmcore.constants import PG_DEVICE, PG_FAKE, PG_SWAP, PG_TABLED
from vmcore.pager.device_pager import fictitious_page
from vmcore.structs import Pager, VmMap, VmObject, Vmspace
from vmcore.vm import Vm


def holders(vm: Vm, map: VmMap) -> Iterator[tuple[int, int, int]]:
    """(address, object reference, offset there) of every page that a map shows."""
    size = vm.page_size
    for entry in map_entries(vm, map):
        inside = range(entry.start, entry.end, size)
        if not entry.is_a_map:
            yield from ((va, entry.object, entry.offset + va - entry.start) for va in inside)
            continue
        shift = entry.start - entry.offset  # address of what the sharing map has at 0
        for inner in map_entries(vm, vm.sharing_maps(entry.object)):
            for va in inside:
                if inner.start <= va - shift < inner.end:
                    yield va, inner.object, inner.offset + va - shift - inner.start


class Peek:
    """One look at a VM that does nothing meanwhile."""

    def __init__(self, vm: Vm) -> None:
        self.vm, self.size = vm, vm.page_size
        self.seen: set[tuple[int, int]] = set()  # (object slot, offset) of what was shown so far
        self.resident = {
            (page.object & 0xFFFFFFFF, page.offset): page
            for page in vm.pages.views[1:]
            if page.flags_o & (PG_TABLED | PG_FAKE) == PG_TABLED
        }

    def pages(self, space: Vmspace) -> Iterator[tuple[int, bytes | None]]:
        """(page number, contents) of everything mapped; None: the file ends before it."""
        for va, reference, offset in holders(self.vm, self.vm.maps(space.map)):
            yield va // self.size, self.look(reference, offset)

    def look(self, reference: int, offset: int) -> bytes | None:
        """Down the chain, first hit wins."""
        while reference:
            obj = self.vm.objects(reference)
            found, data = self.held(obj, offset)
            if found:
                self.seen.add((obj.slot, offset))
                return data
            offset += obj.shadow_offset
            reference = obj.shadow
        return self.vm.zeros

    def held(self, obj: VmObject, offset: int) -> tuple[bool, bytes | None]:
        """Has the object itself this page, in memory or behind its pager, and what is on it?"""
        page = self.resident.get((obj.slot, offset))
        if page is not None:
            return True, bytes(self.vm.frames[page.slot])
        if obj.pager:
            return self.stored(self.vm.pagers(obj.pager), offset + obj.paging_offset)
        return False, None

    def stored(self, pager: Pager, offset: int) -> tuple[bool, bytes | None]:
        """Does the pager answer, and with what?  A file always answers, if only that it ends before."""
        vm, size = self.vm, self.size
        if pager.pg_type == PG_SWAP:
            number = swap_page(vm, pager, offset // size)
            return number > 0, os.pread(vm.swap_fd, size, number * size) if number else None
        if pager.pg_type == PG_DEVICE:
            page = fictitious_page(vm, pager, offset)
            return True, None if page is None else bytes(vm.frames[page.slot])
        vnode = vm.vnodes(pager.pg_handle)
        length = min(size, vnode.v_size - offset)
        if length <= 0:
            return True, None
        return True, os.pread(vm.files[vnode.number], length, offset).ljust(size, b"\0")


def swap_page(vm: Vm, pager: Pager, number: int) -> int:
    """The page of the swap file that holds page ``number`` of a pager; 0: none does."""
    slot, index, bit = pager.sw_first, number // pager.sw_bsize, number % pager.sw_bsize
    while slot:
        block = vm.swap_blocks.views[slot]
        if block.index == index:
            return int(block.swb_block + bit) if block.swb_mask >> bit & 1 else 0
        slot = block.next
    return 0
