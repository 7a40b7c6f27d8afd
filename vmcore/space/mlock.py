"""mlock and munlock: wiring a range of a map, in two passes.

The first pass holds the map exclusively.  It sees to it that no fault of the second needs
to change the map (every entry has its object, and its shadow if it may be written), clips,
and counts.  The second faults the pages in, with the lock *downgraded*: it waits for
pages, and the owner of a page may want to read this map first.

A shared range is also clipped and counted in its sharing map, whose lock is not kept for
the second pass: a fork elsewhere that waited for it would hold its own map, which the
owner of a page may want.  In between, entries there are counted, but not all of their
pages are wired yet; ``wirings`` says so, and a fork that has to copy them waits for zero.
"""

from __future__ import annotations

from harness.locks.contract import contract
from harness.shm.checked import unguarded
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_PROT_WRITE,
)
from vmcore.map.map import vm_map_unlock_and_release
from vmcore.map.map_clip import entries_between, vm_map_clip_range
from vmcore.map.map_entry import entry_share
from vmcore.map.map_lookup import interpose
from vmcore.map.unwire import vm_map_entry_unwire
from vmcore.map.wiring import wiring_begin, wiring_end
from vmcore.space.fault_wire import vm_fault_wire
from vmcore.structs import VmMap, VmMapEntry
from vmcore.vm import Vm


@contract
def vm_map_pageable(vm: Vm, map: VmMap, start: int, end: int, wire: bool) -> int:
    """Wire or unwire [start, end) of a main map; after an error nothing has changed.

    KERN_INVALID_ADDRESS: the range has a hole.  KERN_RESOURCE_SHORTAGE: more frames than
    may be wired, no memory, or no record.  KERN_INVALID_ARGUMENT: not whole pages, or
    what is to be unwired is not wired throughout.  Else the error of a fault.

    Source: Mach vm/vm_map.c, vm_map_pageable.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map locks; wiring: busy pages, page-in, memory).
    """
    if start >= end or start % vm.page_size or end % vm.page_size:
        return int(KERN_INVALID_ARGUMENT)
    map.lock.write()
    map.timestamp += 1
    code = wire_range(vm, map, start, end) if wire else unwire_range(vm, map, start, end)
    vm_map_unlock_and_release(vm, map, [])
    return code


def covered(entries: list[VmMapEntry], start: int, end: int) -> bool:
    """Do these entries leave no hole in the range?"""
    at = start
    for entry in entries:
        if entry.start > at:
            return False
        at = entry.end
    return at >= end


@contract
def unwire_range(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """One wiring less on each entry of the range.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (locks of sharing maps).
    """
    entries = entries_between(vm, map, start, end)
    if not covered(entries, start, end):
        return int(KERN_INVALID_ADDRESS)
    if not all(entry.wired_count for entry in entries):
        return int(KERN_INVALID_ARGUMENT)
    if not vm_map_clip_range(vm, map, start, end):
        return int(KERN_RESOURCE_SHORTAGE)
    for entry in entries_between(vm, map, start, end):
        vm_map_entry_unwire(vm, map, entry, 1)
    return int(KERN_SUCCESS)


@contract
def wire_range(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """Both passes of wiring.

    Enter:  map write-locked.
    Exit:   map locked (read-locked, once the first pass has succeeded).
    Takes:  any.
    Sleeps: yes (see vm_map_pageable).
    """
    entries = entries_between(vm, map, start, end)
    if not covered(entries, start, end):
        return int(KERN_INVALID_ADDRESS)
    fresh = sum(min(e.end, end) - max(e.start, start) for e in entries if not e.wired_count)
    if fresh >> vm.page_shift > vm.g.v_wire_max or not vm_map_clip_range(vm, map, start, end):
        return int(KERN_RESOURCE_SHORTAGE)
    counted: list[VmMapEntry] = []
    for entry in entries_between(vm, map, start, end):
        if not count_wiring(vm, entry):
            undo(vm, map, counted, 0)
            return int(KERN_RESOURCE_SHORTAGE)
        counted.append(entry)
    map.lock.downgrade()
    return wire_pages(vm, map, counted)


def wire_pages(vm: Vm, map: VmMap, entries: list[VmMapEntry]) -> int:
    """Second pass: wire the pages of the entries whose first wiring this is; map read-locked."""
    for done, entry in enumerate(entries):
        if entry.wired_count > 1:
            continue
        code = vm_fault_wire(vm, map, entry.start, entry.end)
        if code != KERN_SUCCESS:
            undo(vm, map, entries, done)
            return code
    for entry in entries:
        if entry.is_a_map:
            wiring_end(vm, entry_share(vm, entry))
    return int(KERN_SUCCESS)


def undo(vm: Vm, map: VmMap, entries: list[VmMapEntry], done: int) -> None:
    """Take the counts of all these entries back, and the pages of the first ``done``.

    In the second pass the map is only read-locked.  That is enough: a count changes in
    write mode, or here, and no thread has had write mode since we counted.  To upgrade
    could fail; to unlock first would let another thread delete an entry that says wired over
    pages that are not.
    """
    with unguarded():  # the guard of these fields is write mode
        for number, entry in enumerate(entries):
            vm_map_entry_unwire(vm, map, entry, 1, number < done)
            if entry.is_a_map:
                wiring_end(vm, entry_share(vm, entry))


@contract
def count_wiring(vm: Vm, entry: VmMapEntry) -> bool:
    """First pass, one entry: ready for faults that change nothing, and counted.

    False when records ran out; then it is not counted.

    Enter:  anything (the entry's map is write-locked).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the sharing map's lock).
    """
    if entry.is_a_map:
        done = count_shared(vm, entry)
    else:
        writable = entry.protection & VM_PROT_WRITE
        done = bool(entry.wired_count) or ready(vm, entry, bool(entry.needs_copy and writable))
    if done:
        entry.wired_count += 1
    return done


def ready(vm: Vm, entry: VmMapEntry, shadow: bool) -> bool:
    """Give the entry its object, or the shadow it needs; False when records ran out."""
    if entry.object and not shadow:
        return True
    return interpose(vm, entry, VM_PROT_WRITE)


@contract
def count_shared(vm: Vm, entry: VmMapEntry) -> bool:
    """Count the wiring in the sharing map, for exactly the range of the entry.

    A shadow that is needed is made now, whatever the rights: any sharer may store, and
    a shadow made then would leave our wired mapping with the page below it.

    Enter:  anything (the entry's map is write-locked).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the sharing map's lock).
    """
    share = entry_share(vm, entry)
    low, high = entry.offset, entry.offset + (entry.end - entry.start)
    share.lock.write()
    share.timestamp += 1
    done = vm_map_clip_range(vm, share, low, high)
    inner = entries_between(vm, share, low, high) if done else []
    done = done and all(ready(vm, one, bool(one.needs_copy)) for one in inner)
    if done:
        for one in inner:
            one.wired_count += 1
        wiring_begin(vm, share)
    share.lock.release()
    return done
