"""Quiescent invariants of the tables: every record in use has an owner, every frame is counted.

A record to which nothing points is a leak that no walk from the top can see.
"""

from __future__ import annotations

from collections import Counter

from harness.shm.facts import Fact
from vmcore.audit.maps import mappings
from vmcore.audit.objects import kernel_slots, map_entries
from vmcore.audit.pages import queue
from vmcore.constants import PG_FICTITIOUS, PG_FREE
from vmcore.vm import Vm
from vmcore.vm_error import Facts, an_object, broken, left


def audit_records(vm: Vm) -> list[Fact]:
    """Q2 (maps, sharing maps, entries, hardware maps), Q4 (the frames add up), Q7 (cached objects)."""
    return [*spaces(vm), *entries(vm), *hardware_maps(vm), *frames(vm), *cached(vm)]


def spaces(vm: Vm) -> list[Fact]:
    """Q2: a space has a map and a pmap of its own, and every map and pmap has a space."""
    bad = Facts()
    maps: Counter[int] = Counter()
    pmaps: Counter[int] = Counter()
    for space in vm.vmspaces.live():
        maps[vm.maps(space.map).slot] += 1
        pmaps[vm.pmaps(space.pmap).slot] += 1
        if space.vm_refcnt < 1:
            bad.add("Q2", f"vmspace {space.slot} counts {space.vm_refcnt} users")
    for kind, pool, count in (("map", vm.maps, maps), ("pmap", vm.pmaps, pmaps)):
        users = {one.slot: count[one.slot] for one in pool.live()}
        bad += [broken("Q2", f"{kind} {slot} belongs to {n} spaces") for slot, n in users.items() if n != 1]
    return bad


def entries(vm: Vm) -> list[Fact]:
    """Q2: every entry is in one map; every sharing map has an entry that points to it."""
    count: Counter[int] = Counter()
    shared: set[int] = set()
    for pool in (vm.maps, vm.sharing_maps):
        for map in pool.live():
            for entry in map_entries(vm, map):
                count[entry.slot] += 1
                if entry.is_a_map:
                    shared.add(vm.sharing_maps(entry.object).slot)
    bad = [broken("Q2", f"entry {slot} is in {times} maps") for slot, times in count.items() if times > 1]
    bad += [left("Q2", f"entry {one.slot} is in no map") for one in vm.entries.live() if not count[one.slot]]
    bad += [
        broken("Q2", f"entry {slot} is in a map, but free") for slot in count if not vm.entries.is_live(slot)
    ]
    return bad + [
        broken("Q2", f"sharing map {one.slot} is reachable from no entry")
        for one in vm.sharing_maps.live()
        if one.slot not in shared
    ]


def hardware_maps(vm: Vm) -> list[Fact]:
    """A14: each mapping is on the list of its pmap and on that of its frame, once."""
    bad = Facts()
    on_pmap: Counter[int] = Counter()
    for pmap in vm.pmaps.live():
        mine = mappings(vm, pmap)
        on_pmap.update(one.slot for one in mine)
        bad += [
            broken("A14", f"mapping {m.slot} is listed by pmap {pmap.slot}, names {m.pmap}")
            for m in mine
            if m.pmap != pmap.slot
        ]
        if len(mine) != pmap.count:
            bad.add("A14", f"pmap {pmap.slot} counts {pmap.count} mappings, has {len(mine)}")
    views = vm.mappings.views
    for page in vm.pages.views[1:]:
        slot, steps = page.pv_first, 0
        while slot and steps <= len(views):
            if views[slot].frame != page.slot:
                bad.add("A14", f"mapping {slot} is listed by frame {page.slot}, shows {views[slot].frame}")
            slot, steps = views[slot].pv_next, steps + 1
    return bad + [
        broken("A14", f"mapping {one.slot} is listed by {on_pmap[one.slot]} pmaps")
        for one in vm.mappings.live()
        if on_pmap[one.slot] != 1
    ]


def frames(vm: Vm) -> list[Fact]:
    """Q4: free, active, inactive and wired frames are all the frames; no buffer frame is out."""
    g = vm.g
    queued = [len(queue(vm, first)) for first in (g.free_first, g.active_first, g.inactive_first)]
    managed = [page for page in vm.pages.views[1:] if not page.flags_o & PG_FICTITIOUS]
    wired = sum(1 for page in managed if page.wire_count and not page.flags_p & PG_FREE)
    total = len(managed)
    if sum(queued) + wired == total:
        return []
    free, active, inactive = queued
    return [
        broken(
            "Q4",
            f"{free} free + {active} active + {inactive} inactive + {wired} wired frames are not {total}",
        )
    ]


def cached(vm: Vm) -> list[Fact]:
    """Q7: a cached object has no reference, may persist, and no entry shows it; it is listed once."""
    listed = cache_list(vm)
    twice = [slot for slot, times in Counter(listed).items() if times > 1]
    bad = Facts(broken("Q7", f"object {slot} is cached twice", an_object(slot)) for slot in twice)
    mapped, kernel = mapped_objects(vm), kernel_slots(vm)
    for slot in dict.fromkeys(listed):
        object = vm.objects.views[slot]
        if object.ref_count or slot in mapped | kernel:
            bad.add(
                "Q7",
                f"cached object {slot} counts {object.ref_count} references, mapped: {slot in mapped}",
                object,
            )
        if not object.is_cached:
            bad.add("Q7", f"object {slot} is listed as cached, but not marked", object)
    marked = [one for one in vm.objects.live() if one.is_cached and one.slot not in listed]
    return bad + [broken("Q7", f"object {one.slot} is marked cached, but not listed", one) for one in marked]


def cache_list(vm: Vm) -> list[int]:
    """Slots on the list of cached objects; it ends when it is longer than there are objects."""
    views, slot = vm.objects.views, vm.g.cached_first
    listed: list[int] = []
    while slot and len(listed) <= len(views):
        listed.append(slot)
        slot = views[slot].cached_next
    return listed


def mapped_objects(vm: Vm) -> set[int]:
    """Slots of the objects that an entry points to."""
    return {
        vm.objects(entry.object).slot
        for pool in (vm.maps, vm.sharing_maps)
        for map in pool.live()
        for entry in map_entries(vm, map)
        if entry.object and not entry.is_a_map
    }
