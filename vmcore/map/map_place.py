"""Room in a map: the address that was named, or the best one that is free.

A hole alone is not enough where a frame must not lie in the cache twice (coloring.py), so
an object that is mapped prefers addresses of its own colour (object_prefer.py).
"""

from __future__ import annotations

from collections.abc import Callable

from harness.locks.contract import contract
from vmcore.constants import KERN_NO_SPACE, KERN_RESOURCE_SHORTAGE, KERN_SUCCESS
from vmcore.map.map import range_is_free, vm_map_delete, vm_map_findspace
from vmcore.map.map_clip import entries_between
from vmcore.map.map_entry import entry_share
from vmcore.object.object_prefer import note_fixed, vm_object_prefer
from vmcore.pmap.coloring import congruent
from vmcore.structs import VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm

Preference = Callable[[int], int]  # from an address to the best one that is not below it


@contract
def find_preferred(vm: Vm, map: VmMap, size: int, prefer: Preference | None) -> int | None:
    """Lowest hole, or lowest preferred place in one.

    The preferred address may not be free any more.  Then the search goes on from *there*:
    from the address before it would find the same hole again, for ever.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  map hint, object, pv.
    Sleeps: never.
    """
    found = vm_map_findspace(vm, map, size)
    while found is not None and prefer is not None:
        best = prefer(found)
        if best == found or range_is_free(vm, map, best, best + size):
            return best
        vm.native.failure()  # one try in vain: the watchdog must see a search that never ends
        found = vm_map_findspace(vm, map, size, best)
    return found


@contract
def place(
    vm: Vm, map: VmMap, size: int, address: int | None, prefer: Preference | None = None
) -> tuple[int, int, list[VmMap]]:
    """Make room: (code, address, sharing maps to release).

    An address that the caller names is taken, whatever is preferred.  Memory that has no object yet
    has no preference: it is mapped nowhere else, and a heap must grow without gaps.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the lock of a sharing map, when what lies there is wired).
    """
    if address is None:
        found = find_preferred(vm, map, size, prefer)
        return (KERN_NO_SPACE, 0, []) if found is None else (KERN_SUCCESS, found, [])
    if not map.min_offset <= address < address + size <= map.max_offset:
        return KERN_NO_SPACE, 0, []
    shares = vm_map_delete(vm, map, address, address + size)
    return (KERN_RESOURCE_SHORTAGE, 0, []) if shares is None else (KERN_SUCCESS, address, shares)


@contract
def place_object(
    vm: Vm, map: VmMap, object: VmObject, offset: int, size: int, address: int | None
) -> tuple[int, int, list[VmMap]]:
    """Make room for (object, offset): where its other mappings do not alias, if we may choose.

    Enter:  map write-locked; object unlocked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (as place).
    """
    if address is not None and congruent(vm, offset, address) != address:
        note_fixed(vm, object)  # before it is mapped there
    return place(vm, map, size, address, lambda at: vm_object_prefer(vm, object, offset, at))


@contract
def note_moved(vm: Vm, entries: list[VmMapEntry]) -> None:
    """These entries are going to another colour than the other mappings of the same objects.

    Enter:  anything (their map is write-locked).
    Exit:   same.
    Takes:  sharing map, map hint, object.
    Sleeps: yes (the sharing map's lock).
    """
    for entry in entries:
        if not entry.is_a_map:
            if entry.object:
                note_fixed(vm, vm.objects(entry.object))
            continue
        share = entry_share(vm, entry)
        share.lock.read()
        for inner in entries_between(vm, share, entry.offset, entry.offset + entry.end - entry.start):
            if inner.object:
                note_fixed(vm, vm.objects(inner.object))
        share.lock.release()
