"""Quiescent invariants of objects: references, links, flags, pagers, cache."""

from __future__ import annotations

from collections import Counter

from harness.shm.facts import Fact
from vmcore.constants import (
    OBJ_CANPERSIST,
    OBJ_COLLAPSING,
    OBJ_DYING,
    OBJ_FADING,
    OBJ_INTERNAL,
    OBJ_PAGERALLOC,
    OBJ_WAITING,
    PG_SWAP,
)
from vmcore.structs import VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm
from vmcore.vm_error import Facts, an_object, broken

PASSING = {
    OBJ_WAITING: "WAITING",
    OBJ_FADING: "FADING",
    OBJ_COLLAPSING: "COLLAPSING",
    OBJ_PAGERALLOC: "PAGERALLOC",
    OBJ_DYING: "DYING",
}


def kernel_slots(vm: Vm) -> set[int]:
    """Slots of the objects that are never freed."""
    return {ref & 0xFFFFFFFF for ref in (vm.g.kernel_object, vm.g.kmem_object) if ref}


def map_entries(vm: Vm, map: VmMap) -> list[VmMapEntry]:
    """The entries of a map in list order (a broken list ends the walk)."""
    views, slot = vm.entries.views, map.first
    found: list[VmMapEntry] = []
    while slot and len(found) <= len(views):
        found.append(views[slot])
        slot = views[slot].next
    return found


def entry_references(vm: Vm) -> Counter[int]:
    """Object slot -> entries of maps and sharing maps that point to it."""
    count: Counter[int] = Counter()
    for pool in (vm.maps, vm.sharing_maps):
        for map in pool.live():
            for entry in map_entries(vm, map):
                if entry.object and not entry.is_a_map:
                    count[vm.objects(entry.object).slot] += 1
    return count


def shadowers(vm: Vm, object: VmObject) -> list[VmObject]:
    """The shadowers list as it is linked."""
    views, slot = vm.objects.views, object.shadowers_first
    found: list[VmObject] = []
    while slot and len(found) <= len(views):
        found.append(views[slot])
        slot = views[slot].shadowers_next
    return found


def audit_objects(vm: Vm) -> list[Fact]:
    """Q1, Q2, Q3 (objects), Q5 (objects), Q6 (pagers), Q7; A6, A7, A8, A9."""
    objects = list(vm.objects.live())
    entries = entry_references(vm)
    bad = Facts()
    for object in objects:
        bad += references(vm, object, entries[object.slot])
        bad += state(object)
        bad += copy_link(vm, object)
    return bad + reachable(vm, objects, entries) + listed(vm, objects) + cached(vm, objects) + pagers(vm)


def references(vm: Vm, object: VmObject, entries: int) -> list[Fact]:
    """Q1 and A6: counts are what can be counted; shadow links go both ways."""
    above = shadowers(vm, object)
    bad = Facts()
    expected = entries + len(above) + (object.slot in kernel_slots(vm))
    if object.ref_count != expected:
        bad.add(
            "Q1",
            f"object {object.slot} counts {object.ref_count} references,"
            f" but has {entries} entries and {len(above)} shadowers",
            object,
        )
    bad += [
        broken(
            "A6",
            f"object {one.slot} is listed as shadower of object {object.slot}, but shadows another",
            one,
            object,
        )
        for one in above
        if not one.shadow or vm.objects(one.shadow) is not object
    ]
    below = vm.objects(object.shadow) if object.shadow else None
    if below is not None and all(one is not object for one in shadowers(vm, below)):
        bad.add("A6", f"object {object.slot} is missing among the shadowers of {below.slot}", object, below)
    return bad


def state(object: VmObject) -> list[Fact]:
    """Q3: nothing is under way."""
    bad = Facts()
    if object.paging_in_progress:
        bad.add("Q3", f"object {object.slot} has paging_in_progress {object.paging_in_progress}", object)
    bad += [
        broken("Q3", f"object {object.slot} is {name}", object)
        for bit, name in PASSING.items()
        if object.flags & bit
    ]
    if object.is_hashed and object.flags & OBJ_INTERNAL:
        bad.add("A9", f"anonymous object {object.slot} is hashed", object)
    return bad


def copy_link(vm: Vm, object: VmObject) -> list[Fact]:
    """A7: a copy-object shadows its source at offset 0, and the source is a file's."""
    if not object.copy:
        return []
    copy = vm.objects(object.copy)
    fits = copy.shadow and vm.objects(copy.shadow) is object and not copy.shadow_offset
    if fits and not object.shadow and not object.flags & OBJ_INTERNAL:
        return []
    return [
        broken("A7", f"object {object.slot} has copy-object {copy.slot}, which does not fit", object, copy)
    ]


def reachable(vm: Vm, objects: list[VmObject], entries: Counter[int]) -> list[Fact]:
    """Q2: every object is below some entry, or cached, or the kernel's; chains end."""
    seen = kernel_slots(vm) | {o.slot for o in objects if o.is_cached}
    bad = Facts()
    for slot in entries:
        object, path = vm.objects.views[slot], set()
        while True:
            if object.slot in path:
                bad.add("A6", f"the chain of object {slot} is a ring", an_object(slot))
                break
            path.add(object.slot)
            if not object.shadow:
                break
            object = vm.objects(object.shadow)
        seen |= path
    return bad + [
        broken("Q2", f"object {o.slot} is reachable from no entry", o) for o in objects if o.slot not in seen
    ]


def listed(vm: Vm, objects: list[VmObject]) -> list[Fact]:
    """Q2, Q5: the list of all objects holds exactly the live ones, and the count agrees."""
    views, slot = vm.objects.views, vm.g.object_list_first
    on_list: list[int] = []
    while slot and len(on_list) <= len(views):
        on_list.append(slot)
        slot = views[slot].object_list_next
    bad = Facts()
    if sorted(on_list) != sorted(o.slot for o in objects):
        bad.add("Q2", f"object list {sorted(on_list)} differs from live {sorted(o.slot for o in objects)}")
    if vm.g.vm_object_count != len(on_list):
        bad.add("Q5", f"vm_object_count is {vm.g.vm_object_count}, the list has {len(on_list)}")
    return bad


def cached(vm: Vm, objects: list[VmObject]) -> list[Fact]:
    """Q7, A8, A9: the cached list, and the hash."""
    views, slot = vm.objects.views, vm.g.cached_first
    on_list: list[int] = []
    while slot and len(on_list) <= len(views):
        on_list.append(slot)
        slot = views[slot].cached_next
    bad = Facts()
    for object in objects:
        may = object.ref_count == 0 and bool(object.flags & OBJ_CANPERSIST) and bool(object.is_hashed)
        if object.slot not in kernel_slots(vm) and may != (object.slot in on_list):
            bad.add(
                "A8",
                f"object {object.slot}: {object.ref_count} references, cached {object.slot in on_list}",
                object,
            )
        if object.slot in on_list and object.shadowers_first:
            bad.add("Q7", f"cached object {object.slot} has shadowers", object)
    if len(on_list) != vm.g.vm_object_cached:
        bad.add("Q5", f"vm_object_cached is {vm.g.vm_object_cached}, the list has {len(on_list)}")
    if len(on_list) > vm.config.cache_max:
        bad.add("Q7", f"{len(on_list)} objects are cached, the limit is {vm.config.cache_max}")
    return bad + hashed(vm, objects)


def hashed(vm: Vm, objects: list[VmObject]) -> list[Fact]:
    """A9: hash entries have pagers that hash there, and none is there twice."""
    views, bad = vm.objects.views, Facts()
    found: list[int] = []
    for bucket, first in enumerate(vm.g.hash_buckets):
        slot = first
        while slot and len(found) <= len(views):
            object = views[slot]
            found.append(slot)
            if not object.pager or vm.pagers(object.pager).slot % len(vm.g.hash_buckets) != bucket:
                bad.add(
                    "A9",
                    f"object {slot} is in bucket {bucket}, where its pager does not hash to",
                    an_object(slot),
                )
            slot = object.hash_next
    if sorted(found) != sorted(o.slot for o in objects if o.is_hashed):
        bad.add("A9", f"the hash holds {sorted(found)}, which are not the objects marked hashed")
    return bad


def pagers(vm: Vm) -> list[Fact]:
    """Q6, A9: each live pager is installed in one object; swap adds up."""
    owner = {o.pager: o for o in vm.objects.live() if o.pager}
    bad, swap = Facts(), 0
    for pager in vm.pagers.live():
        object = owner.get(vm.pagers.ref(pager))
        if object is None:
            bad.add("Q6", f"pager {pager.slot} is installed in no object")
        elif pager.pg_object != vm.objects.ref(object):
            bad.add(
                "A9", f"pager {pager.slot} names another object than {object.slot}, which owns it", object
            )
        if pager.sw_poip:
            bad.add("Q13", f"pager {pager.slot} has {pager.sw_poip} writes in flight")
        if pager.pg_type == PG_SWAP:
            swap += swap_pages(vm, pager.sw_first) * pager.sw_bsize
    if swap != vm.g.swap_used:
        bad.add("Q6", f"{vm.g.swap_used} swap pages are in use, the pagers own {swap}")
    return bad


def swap_pages(vm: Vm, slot: int) -> int:
    """How many swap blocks hang on a pager's list."""
    count, views = 0, vm.swap_blocks.views
    while 0 < slot < len(views) and count <= len(views):
        count += bool(views[slot].swb_block)
        slot = views[slot].next
    return count
