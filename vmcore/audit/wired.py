"""Q8: what entries say about wiring, what the hardware maps, and what pages count."""

from __future__ import annotations

from collections import Counter

from harness.shm.facts import Fact
from vmcore.audit.maps import mappings
from vmcore.audit.objects import map_entries
from vmcore.constants import PG_FICTITIOUS, PG_TABLED
from vmcore.structs import VmMap, VmMapEntry, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import Facts, a_page, broken


def audit_wired(vm: Vm) -> list[Fact]:
    """Q8 for maps, sharing maps and pages."""
    bad = Facts()
    wirings: Counter[int] = Counter()  # page slot -> (entry, va) pairs that map it wired
    shared: Counter[tuple[int, int]] = Counter()  # (sharing map, address in it) -> wirings
    for space in vm.vmspaces.live():
        map = vm.maps(space.map)
        bad += wired_addresses(vm, map, vm.pmaps(space.pmap), wirings)
        for entry in map_entries(vm, map):
            if entry.is_a_map and entry.wired_count:
                slot, delta = vm.sharing_maps(entry.object).slot, entry.offset - entry.start
                for va in range(entry.start, entry.end, vm.page_size):
                    shared[slot, va + delta] += entry.wired_count
    for share in vm.sharing_maps.live():
        bad += wired_in_share(vm, share, shared)
    for page in vm.pages.views[1:]:
        if page.wire_count != wirings[page.slot] + own_wiring(page):
            bad.add(
                "Q8", f"page {page.slot} counts {page.wire_count} wirings, has {wirings[page.slot]}", page
            )
    managed = sum(1 for slot in wirings if slot <= vm.config.pages)
    if vm.g.v_wire_count != managed:
        bad.add("Q8", f"v_wire_count is {vm.g.v_wire_count}, {managed} pages are wired by entries")
    return bad


def own_wiring(page: VmPage) -> int:
    """A device's page in use counts one wiring that no entry made."""
    return int(bool(page.flags_o & PG_FICTITIOUS and page.flags_o & PG_TABLED))


def wired_addresses(vm: Vm, map: VmMap, pmap: object, wirings: Counter[int]) -> list[Fact]:
    """Every address of a wired entry, and no other, has a wired mapping of a resident page."""
    by_va = {mapping.va: mapping for mapping in mappings(vm, pmap)}
    bad = Facts()
    for entry in map_entries(vm, map):
        if not entry.wired_count:
            continue
        for va in range(entry.start, entry.end, vm.page_size):
            mapping = by_va.pop(va, None)
            if mapping is None or not mapping.wired:
                bad.add("Q8", f"map {map.slot}: {va:#x} is wired, but has no wired mapping")
                continue
            wirings[mapping.frame] += 1
            if not vm.pages.views[mapping.frame].flags_o & PG_TABLED:
                bad.add(
                    "Q8",
                    f"map {map.slot}: {va:#x} is wired to page {mapping.frame} of no object",
                    a_page(mapping.frame),
                )
    return bad + [
        broken("Q8", f"map {map.slot}: {va:#x} has a wired mapping, but no wired entry")
        for va, mapping in by_va.items()
        if mapping.wired
    ]


def wired_in_share(vm: Vm, share: VmMap, shared: Counter[tuple[int, int]]) -> list[Fact]:
    """A sharing map counts the wirings of all its sharers, and shadows nothing later."""
    bad = Facts()
    if share.wirings:
        bad.add("Q8", f"sharing map {share.slot} waits for {share.wirings} wirers")
    for entry in map_entries(vm, share):
        if entry.wired_count and (entry.needs_copy or not entry.object):
            bad.add("Q8", f"wired entry {entry.slot} of sharing map {share.slot} would need a new object")
        for va in range(entry.start, entry.end, vm.page_size):
            if shared[share.slot, va] != entry.wired_count:
                bad.append(wiring_fact(share, entry, va, shared[share.slot, va]))
                break
    return bad


def wiring_fact(share: VmMap, entry: VmMapEntry, va: int, found: int) -> Fact:
    """One sentence about a count that is wrong."""
    where = f"sharing map {share.slot}, entry {entry.slot}, {va:#x}"
    return broken("Q8", f"{where}: counts {entry.wired_count} wirings, has {found}")
