"""Address maps: making them, finding room, inserting and deleting ranges.

The rule of this file: nothing is released while the map is locked.  ``vm_map_delete``
puts object references on the thread's release list and returns the sharing maps that
lost a reference; the caller, which unlocks the map, then drops both (``vm_map_unlock_and_release``).
A release can terminate objects and wait for their page-outs, and the owner of such a
page may be waiting for this very map.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_PROT_ALL,
)
from vmcore.map.map_clip import entries_between, vm_map_clip_range
from vmcore.map.map_entry import (
    entry_object,
    entry_share,
    first_from,
    vm_map_entry_create,
    vm_map_entry_link,
    vm_map_entry_unlink,
    vm_map_lookup_entry,
)
from vmcore.map.unwire import vm_map_entry_unwire
from vmcore.object.deallocate import drain_release_list
from vmcore.object.object_coalesce import vm_object_coalesce
from vmcore.pmap.pmap_range import pmap_remove
from vmcore.structs import Pmap, VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm, release_later


@contract
def vm_map_create(vm: Vm, pmap: Pmap | None, low: int, high: int) -> VmMap | None:
    """An empty map with one reference; without a pmap it is a sharing map.

    Source: Mach vm/vm_map.c, vm_map_create.
    Enter:  anything.
    Exit:   same.
    Takes:  pool.
    Sleeps: never.
    """
    map: VmMap | None = (vm.sharing_maps if pmap is None else vm.maps).allocate()
    if map is None:
        return None
    map.min_offset, map.max_offset = low, high
    map.pmap = 0 if pmap is None else vm.pmaps.ref(pmap)
    map.is_main_map = 0 if pmap is None else 1
    map.ref_count = 1
    return map


def map_pmap(vm: Vm, map: VmMap) -> Pmap | None:
    """The hardware map, or None for a sharing map."""
    return vm.pmaps(map.pmap) if map.pmap else None


@contract
def vm_map_deallocate(vm: Vm, share: VmMap) -> None:
    """Drop a reference on a sharing map; the last one empties and frees it.

    The references of its objects go to the release list.  No thread can be waiting for
    the lock: a thread that wants it holds a main map with an entry, and that is a reference.

    Source: Mach vm/vm_map.c, vm_map_deallocate.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  map ref, map hint, sharing map, pool.
    Sleeps: yes (the sharing map's lock).
    """
    share.ref_lock.acquire()
    share.ref_count -= 1
    left = share.ref_count
    share.ref_lock.release()
    if left:
        return
    share.lock.write()
    for entry in entries_between(vm, share, share.min_offset, share.max_offset):
        delete_entry(vm, share, entry)
    share.lock.release()
    vm.sharing_maps.free(share)


@contract
def vm_map_unlock_and_release(vm: Vm, map: VmMap, shares: list[VmMap]) -> None:
    """Unlock, then let go of everything that was deleted under the lock.

    Enter:  map locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    map.lock.release()
    release_deleted(vm, shares)


@contract
def release_deleted(vm: Vm, shares: list[VmMap]) -> None:
    """Drop the references of what was deleted: on sharing maps, then on objects.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    for share in shares:
        vm_map_deallocate(vm, share)
    drain_release_list(vm)


@contract
def vm_map_findspace(vm: Vm, map: VmMap, size: int, start: int = 0) -> int | None:
    """Lowest address, not below start, with a hole of this size.

    Source: 4.4BSD vm/vm_map.c, vm_map_findspace.
    Enter:  map locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    views = vm.entries.views
    address: int = max(start, map.min_offset)
    slot = map.first
    while slot:
        entry = views[slot]
        if entry.start - address >= size:
            return address
        address = max(address, entry.end)
        slot = entry.next
    return address if map.max_offset - address >= size else None


def range_is_free(vm: Vm, map: VmMap, start: int, end: int) -> bool:
    """Is nothing mapped there, and is it inside the map?  Map locked."""
    if not map.min_offset <= start < end <= map.max_offset:
        return False
    slot = first_from(vm, map, start)
    return not slot or vm.entries.views[slot].start >= end


@contract
def vm_map_insert(
    vm: Vm,
    map: VmMap,
    object: VmObject | None,
    offset: int,
    start: int,
    end: int,
    protection: int = VM_PROT_ALL,
    inheritance: int = VM_INHERIT_COPY,
    private: bool = False,
    needs_copy: bool = False,
) -> int:
    """A new entry, or a longer one; it consumes one reference of object when it succeeds.

    private: what is written stays ours; needs_copy: a shadow is interposed before the first write.

    Source: Mach vm/vm_map.c, vm_map_insert.
    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    if not range_is_free(vm, map, start, end):
        return int(KERN_NO_SPACE)
    if object is None and extend_previous(vm, map, start, end, protection, inheritance):
        return int(KERN_SUCCESS)
    entry = vm_map_entry_create(vm, start, end, protection, VM_PROT_ALL, inheritance)
    if entry is None:
        return int(KERN_RESOURCE_SHORTAGE)
    if object is not None:
        entry.object, entry.offset = vm.objects.ref(object), offset
        entry.copy_on_write, entry.needs_copy = int(private), int(needs_copy)
    link_sorted(vm, map, entry)
    return int(KERN_SUCCESS)


@contract
def extend_previous(vm: Vm, map: VmMap, start: int, end: int, protection: int, inheritance: int) -> bool:
    """Let the entry that ends at start reach to end, if it is what a new one would be; did it?

    So a heap that grows bit by bit is one entry and one object.

    Source: Mach vm/vm_map.c, vm_map_insert.
    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    _, before = vm_map_lookup_entry(vm, map, start)
    if not before or not map.is_main_map:
        return False
    entry = vm.entries.views[before]
    if entry.end != start or entry.is_a_map or entry.wired_count:
        return False
    alike = entry.protection == protection and entry.max_protection == VM_PROT_ALL
    if not alike or entry.inheritance != inheritance:
        return False
    object, size = entry_object(vm, entry), start - entry.start
    if not vm_object_coalesce(vm, object, None, entry.offset, 0, size, end - start):
        return False
    entry.end = end
    map.size += end - start
    return True


def link_sorted(vm: Vm, map: VmMap, entry: VmMapEntry) -> None:
    """Link an entry where its address belongs; map write-locked."""
    _, before = vm_map_lookup_entry(vm, map, entry.start)
    vm_map_entry_link(vm, map, before, entry)


@contract
def vm_map_delete(vm: Vm, map: VmMap, start: int, end: int) -> list[VmMap] | None:
    """Delete a range; sharing maps that lost a reference, or None without records.

    Source: Mach vm/vm_map.c, vm_map_delete.
    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the lock of a sharing map, when the range is wired).
    """
    if not vm_map_clip_range(vm, map, start, end):
        return None
    shares = []
    pmap = map_pmap(vm, map)
    for entry in entries_between(vm, map, start, end):
        if entry.wired_count:
            vm_map_entry_unwire(vm, map, entry, entry.wired_count)
        # Mappings first: a modify bit must not land in a frame that was given away.
        if pmap is not None:
            pmap_remove(vm, pmap, entry.start, entry.end)
        share = delete_entry(vm, map, entry)
        if share is not None:
            shares.append(share)
    return shares


def delete_entry(vm: Vm, map: VmMap, entry: VmMapEntry) -> VmMap | None:
    """Unlink and free one entry; its object goes to the release list.

    Returns the sharing map whose reference the caller has to drop, if it was one.
    """
    share = entry_share(vm, entry) if entry.is_a_map else None
    object = None if entry.is_a_map else entry_object(vm, entry)
    vm_map_entry_unlink(vm, map, entry)
    vm.entries.free(entry)
    if object is not None:
        release_later(vm, object, False)
    return share


@contract
def vm_map_remove(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """Unmap a range of a main map.

    Source: Mach vm/vm_map.c, vm_map_remove.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    start, end = max(start, map.min_offset), min(end, map.max_offset)
    if start >= end:
        return int(KERN_INVALID_ARGUMENT)
    map.lock.write()
    map.timestamp += 1
    shares = vm_map_delete(vm, map, start, end)
    vm_map_unlock_and_release(vm, map, shares or [])
    return int(KERN_RESOURCE_SHORTAGE if shares is None else KERN_SUCCESS)
