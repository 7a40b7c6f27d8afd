"""Changing the rights of a range.

Hardware rights are only ever lowered here; a later fault raises them, and it alone
knows whether a page must be copied first.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_PROT_WRITE,
)
from vmcore.map.map import map_pmap
from vmcore.map.map_clip import entries_between, vm_map_clip_range
from vmcore.pmap.pmap_range import pmap_protect
from vmcore.structs import VmMap, VmMapEntry
from vmcore.vm import Vm


@contract
def vm_map_protect(vm: Vm, map: VmMap, start: int, end: int, protection: int, set_max: bool = False) -> int:
    """Set the current rights of [start, end), or the maximum ones (which lowers both).

    Source: Mach vm/vm_map.c, vm_map_protect.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  map, sharing map, map hint, map ref, object, pool, pv, pmap.
    Sleeps: yes (map lock).
    """
    map.lock.write()
    map.timestamp += 1
    code = protect_locked(vm, map, start, end, protection, set_max)
    map.lock.release()  # one exit for every result: an error used to leave it locked
    return code


@contract
def protect_locked(vm: Vm, map: VmMap, start: int, end: int, protection: int, set_max: bool) -> int:
    """First look at the whole range, then change it.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  sharing map, map hint, map ref, object, pool, pv, pmap.
    Sleeps: yes (the lock of a sharing map).
    """
    entries = entries_between(vm, map, start, end)
    if not entries:
        return int(KERN_INVALID_ADDRESS)
    if any(protection & ~entry.max_protection for entry in entries):
        return int(KERN_PROTECTION_FAILURE)
    if not vm_map_clip_range(vm, map, start, end):
        return int(KERN_RESOURCE_SHORTAGE)
    for entry in entries_between(vm, map, start, end):
        if set_max:
            entry.max_protection = protection
            set_protection(vm, map, entry, entry.protection & protection)
        else:
            set_protection(vm, map, entry, protection)
    return int(KERN_SUCCESS)


def set_protection(vm: Vm, map: VmMap, entry: VmMapEntry, protection: int) -> None:
    """Change one entry and lower its hardware mappings to what *this* entry allows."""
    if entry.protection == protection:
        return
    entry.protection = protection
    pmap = map_pmap(vm, map)
    if pmap is not None:
        allowed = protection & ~VM_PROT_WRITE if entry.copy_on_write else protection
        pmap_protect(vm, pmap, entry.start, entry.end, allowed)


@contract
def vm_map_inherit(vm: Vm, map: VmMap, start: int, end: int, inheritance: int) -> int:
    """Say what a child gets of this range.

    Source: Mach vm/vm_map.c, vm_map_inherit.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  map, sharing map, map hint, map ref, object, pool.
    Sleeps: yes (map lock).
    """
    map.lock.write()
    map.timestamp += 1
    code = KERN_SUCCESS
    if vm_map_clip_range(vm, map, start, end):
        for entry in entries_between(vm, map, start, end):
            entry.inheritance = inheritance
    else:
        code = KERN_RESOURCE_SHORTAGE
    map.lock.release()
    return int(code)
