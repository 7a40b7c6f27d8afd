"""Cells: which anonymous pages hold data, and which of them can be seen.

A *cell* is one page of an anonymous object that exists, in memory or in swap.  It is
*visible* if some map entry, following the shadow chain from its object down, meets it
before any other cell at that place; else it is *hidden*: it takes up room, and no thread
can ever read it again.  Files do not count here: their pages have their place on disk, and
those in memory are a cache.

Read without a lock; meant for a VM at rest.  Every walk is bounded.
"""

from __future__ import annotations

from collections import defaultdict

from vmcore.audit.objects import kernel_slots, map_entries
from vmcore.audit.pages import memq
from vmcore.audit.swap import blocks_of
from vmcore.constants import OBJ_INTERNAL, PG_SWAP
from vmcore.structs import VmObject
from vmcore.vm import Vm

Cell = tuple[int, int]  # object slot, page number


def own_cells(vm: Vm, object: VmObject) -> set[int]:
    """Page numbers for which the object itself has data."""
    size = vm.page_size
    found = {page.offset // size for page in memq(vm, object)}
    if object.pager:
        pager = vm.pagers(object.pager)
        base = object.paging_offset // size
        if pager.pg_type == PG_SWAP:
            for block in blocks_of(vm, pager):
                first = block.index * pager.sw_bsize - base
                found |= {first + bit for bit in range(pager.sw_bsize) if block.swb_mask >> bit & 1}
    return found


def anonymous(vm: Vm) -> list[VmObject]:
    """The objects that the model is about: anonymous memory of processes."""
    kernel = kernel_slots(vm)
    return [one for one in vm.objects.live() if one.flags & OBJ_INTERNAL and one.slot not in kernel]


def entry_windows(vm: Vm) -> dict[int, list[tuple[int, int]]]:
    """Object slot -> the page ranges [low, high) of it that entries of maps and sharing maps show."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for pool in (vm.maps, vm.sharing_maps):
        for map in pool.live():
            for entry in map_entries(vm, map):
                if entry.object and not entry.is_a_map:
                    low = entry.offset // vm.page_size
                    pages = (entry.end - entry.start) // vm.page_size
                    found[vm.objects(entry.object).slot].append((low, low + pages))
    return found


class Cells:
    """All cells of a VM at rest, and which of them map entries show."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.objects = {one.slot: one for one in anonymous(vm)}
        self.own = {slot: own_cells(vm, one) for slot, one in self.objects.items()}
        self.windows = entry_windows(vm)
        self.above: dict[int, list[VmObject]] = defaultdict(list)
        for one in vm.objects.live():
            if one.shadow:
                self.above[vm.objects(one.shadow).slot].append(one)
        self.visible: set[Cell] = set()
        for slot, windows in self.windows.items():
            for low, high in windows:
                self._mark_shown(slot, low, high)
        self._watched: dict[Cell, bool] = {}

    def _mark_shown(self, slot: int, low: int, high: int) -> None:
        """What an entry shows that begins at this page of this object."""
        covered: set[int] = set()  # page numbers of the top object
        moved = 0
        for _ in range(len(self.own)):
            own = self.own.get(slot)
            if own is None:
                return  # a file's
            seen = {page - moved for page in own if low <= page - moved < high} - covered
            self.visible |= {(slot, page + moved) for page in seen}
            covered |= seen
            object = self.objects[slot]
            if not object.shadow:
                return
            moved += object.shadow_offset // self.vm.page_size
            slot = self.vm.objects(object.shadow).slot

    @property
    def used(self) -> int:
        """How many cells there are."""
        return sum(map(len, self.own.values()))

    def hidden(self) -> dict[int, set[int]]:
        """Object slot -> its pages that no map entry shows; objects without any are left out."""
        found = {
            slot: {page for page in own if (slot, page) not in self.visible} for slot, own in self.own.items()
        }
        return {slot: pages for slot, pages in found.items() if pages}

    def watched(self, slot: int, page: int) -> bool:
        """Does any entry, through whatever objects, look at this place at all?"""
        known = self._watched.get((slot, page))
        if known is None:
            self._watched[slot, page] = False  # a ring ends here
            known = any(low <= page < high for low, high in self.windows.get(slot, ()))
            for one in self.above.get(slot, ()):
                known = known or self.watched_through(one, page)
            self._watched[slot, page] = known
        return known

    def watched_through(self, shadower: VmObject, page: int) -> bool:
        """The same, by way of one shadower of the object whose page this is."""
        there = page - shadower.shadow_offset // self.vm.page_size
        inside = 0 <= there < shadower.size // self.vm.page_size
        return inside and self.watched(shadower.slot, there)

    def blind(self, slot: int, page: int) -> int:
        """How many of the object's references do not look at this place at all."""
        entries = sum(not low <= page < high for low, high in self.windows.get(slot, ()))
        return entries + sum(not self.watched_through(one, page) for one in self.above.get(slot, ()))
