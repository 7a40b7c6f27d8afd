"""Quiescent invariants of maps, sharing maps and hardware mappings."""

from __future__ import annotations

from collections import Counter

from harness.shm.facts import Fact
from vmcore.audit.objects import map_entries
from vmcore.constants import PG_FAKE, PG_FREE, VM_PROT_WRITE
from vmcore.structs import Mapping, VmMap, VmMapEntry
from vmcore.vm import Vm
from vmcore.vm_error import Facts, broken


def audit_maps(vm: Vm) -> list[Fact]:
    """Entry lists, sharing-map counts (Q2), hardware mappings (A13, A14)."""
    bad = Facts()
    for pool in (vm.maps, vm.sharing_maps):
        for map in pool.live():
            bad += entry_list(vm, map)
    bad += sharing_counts(vm)
    for space in vm.vmspaces.live():
        bad += hardware(vm, vm.maps(space.map), vm.pmaps(space.pmap))
    return bad + pv_lists(vm)


def entry_list(vm: Vm, map: VmMap) -> list[Fact]:
    """Sorted, disjoint, doubly linked, inside the map; counts and hint agree."""
    bad, end, before = Facts(), map.min_offset, 0
    entries = map_entries(vm, map)
    for entry in entries:
        if entry.start < end or entry.end <= entry.start or entry.prev != before:
            bad.add(
                "", f"map {map.slot}: entry {entry.slot} [{entry.start:#x}, {entry.end:#x}) is out of order"
            )
        end, before = entry.end, entry.slot
    if map.last != before or end > map.max_offset:
        bad.add("", f"map {map.slot}: the list ends at entry {before}, not {map.last}")
    if map.nentries != len(entries) or map.size != sum(e.end - e.start for e in entries):
        bad.add("", f"map {map.slot}: says {map.nentries} entries and {map.size} bytes")
    if map.hint and map.hint not in {e.slot for e in entries}:
        bad.add("", f"map {map.slot}: the hint names entry {map.hint}, which it does not have")
    return bad


def sharing_counts(vm: Vm) -> list[Fact]:
    """Q2: a sharing map is referenced by exactly the entries that point to it."""
    count: Counter[int] = Counter()
    for map in vm.maps.live():
        for entry in map_entries(vm, map):
            if entry.is_a_map:
                count[vm.sharing_maps(entry.object).slot] += 1
    return [
        broken("Q2", f"sharing map {share.slot} counts {share.ref_count} references, has {count[share.slot]}")
        for share in vm.sharing_maps.live()
        if share.ref_count != count[share.slot]
    ]


def holder_of(vm: Vm, map: VmMap, va: int) -> tuple[VmMapEntry, VmMapEntry, int] | None:
    """(main entry, the entry that holds the object, offset in the object) at va."""
    for entry in map_entries(vm, map):
        if entry.start <= va < entry.end:
            offset = entry.offset + va - entry.start
            if not entry.is_a_map:
                return entry, entry, offset
            for inner in map_entries(vm, vm.sharing_maps(entry.object)):
                if inner.start <= offset < inner.end:
                    return entry, inner, inner.offset + offset - inner.start
    return None


def mappings(vm: Vm, pmap: object) -> list[Mapping]:
    """All mappings of a hardware map."""
    found: list[Mapping] = []
    slot = pmap.first  # type: ignore[attr-defined]
    while slot and len(found) <= len(vm.mappings.views):
        found.append(vm.mappings.views[slot])
        slot = vm.mappings.views[slot].pmap_next
    return found


def hardware(vm: Vm, map: VmMap, pmap: object) -> list[Fact]:
    """A13: rights beyond the entry's; a page that the entry's chain would not show."""
    bad = Facts()
    for mapping in mappings(vm, pmap):
        held = holder_of(vm, map, mapping.va)
        if held is None:
            bad.add("", f"map {map.slot}: {mapping.va:#x} is mapped by the hardware, but by no entry")
            continue
        main, entry, offset = held
        page = vm.pages.views[mapping.frame]
        if page.flags_p & PG_FREE or page.flags_o & PG_FAKE:
            bad.add("A14", f"map {map.slot} maps {mapping.va:#x} to free or fake page {page.slot}", page)
        elif mapping.prot & VM_PROT_WRITE:
            top = entry.object and vm.objects(entry.object)
            owner = vm.objects(page.object)
            if not main.protection & VM_PROT_WRITE or entry.needs_copy or owner is not top:
                bad.add(
                    "A13",
                    f"map {map.slot} may write {mapping.va:#x} (page {page.slot} of object {owner.slot})",
                    owner,
                    page,
                )
            elif page.offset != offset:
                bad.add(
                    "A13", f"map {map.slot} maps {mapping.va:#x} to offset {page.offset:#x}, not {offset:#x}"
                )
    return bad


def pv_lists(vm: Vm) -> list[Fact]:
    """A14: the mappings of the frames are the mappings of the hardware maps."""
    by_frame: Counter[int] = Counter()
    for pmap in vm.pmaps.live():
        for mapping in mappings(vm, pmap):
            by_frame[mapping.frame] += 1
    bad = Facts()
    for page in vm.pages.views[1:]:
        count, slot = 0, page.pv_first
        while slot and count <= len(vm.mappings.views):
            count += 1
            slot = vm.mappings.views[slot].pv_next
        if count != by_frame[page.slot]:
            bad.add(
                "A14",
                f"page {page.slot} lists {count} mappings, the hardware has {by_frame[page.slot]}",
                page,
            )
    return bad
