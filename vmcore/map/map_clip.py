"""Clipping: split an entry so that a range begins and ends at entry boundaries."""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.map.map_entry import (
    entry_object,
    entry_share,
    first_from,
    vm_map_entry_clone,
    vm_map_entry_link,
    vm_map_lookup_entry,
)
from vmcore.object.object import vm_object_reference
from vmcore.structs import VmMap, VmMapEntry
from vmcore.vm import Vm


@contract
def vm_map_clip(vm: Vm, map: VmMap, entry: VmMapEntry, address: int) -> VmMapEntry | None:
    """Split entry at address; the second half, or None when no record is left.

    The second half is one more user of the object, with its own counted reference.  Of
    a shared range that is wired the sharing map's entry is split as well: the halves'
    wirings are counted there, and may end one by one.

    Source: Mach vm/vm_map.c, vm_map_clip_start and vm_map_clip_end.
    Enter:  map write-locked.
    Exit:   same.
    Takes:  sharing map, map hint, object, map ref, pool.
    Sleeps: yes (the sharing map's lock).
    """
    if entry.is_a_map and entry.wired_count and not clip_shared(vm, entry, address):
        return None
    second = vm_map_entry_clone(vm, entry)
    if second is None:
        return None
    second.start = address
    second.offset = entry.offset + (address - entry.start)
    second.wired_count = entry.wired_count
    map.size -= entry.end - address
    entry.end = address
    vm_map_entry_link(vm, map, entry.slot, second)
    if entry.is_a_map:
        vm_map_reference(vm, entry_share(vm, entry))
    else:
        vm_object_reference(vm, entry_object(vm, entry))
    return second


@contract
def clip_shared(vm: Vm, entry: VmMapEntry, address: int) -> bool:
    """Split what the entry points to at the same place; False when no record is left.

    Enter:  anything (the entry's map is write-locked).
    Exit:   same.
    Takes:  sharing map, map hint, object, map ref, pool.
    Sleeps: yes (the sharing map's lock).
    """
    share, within = entry_share(vm, entry), entry.offset + (address - entry.start)
    share.lock.write()
    share.timestamp += 1
    done = vm_map_clip_range(vm, share, within, within)
    share.lock.release()
    return done


@contract
def vm_map_clip_range(vm: Vm, map: VmMap, start: int, end: int) -> bool:
    """Clip at both ends, so that every entry lies inside the range or outside it.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  sharing map, object, map ref, map hint, pool.
    Sleeps: yes (the lock of a sharing map, when the range is wired).
    """
    for address in (start, end):
        inside, slot = vm_map_lookup_entry(vm, map, address)
        if inside:
            entry = vm.entries.views[slot]
            if entry.start < address and vm_map_clip(vm, map, entry, address) is None:
                return False
    return True


def entries_between(vm: Vm, map: VmMap, start: int, end: int) -> list[VmMapEntry]:
    """The entries that reach into the range, in address order; map locked."""
    found = []
    slot = first_from(vm, map, start)
    while slot:
        entry = vm.entries.views[slot]
        if entry.start >= end:
            break
        found.append(entry)
        slot = entry.next
    return found


@contract
def vm_map_reference(vm: Vm, map: VmMap) -> None:  # noqa: ARG001
    """One more reference on a map.

    Source: Mach vm/vm_map.c, vm_map_reference.
    Enter:  anything.
    Exit:   same.
    Takes:  map ref.
    Sleeps: never.
    """
    map.ref_lock.acquire()
    map.ref_count += 1
    map.ref_lock.release()
