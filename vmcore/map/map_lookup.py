"""From an address to (object, offset, rights): the first step of every fault.

On success the map, and the sharing map if there is one, stay read-locked and are named
in the caller's ``Lookup``.  An entry that needs a shadow object, or has no object yet,
gets it here, under an upgraded lock.  An upgrade waits for the other readers, so its
caller owns no busy page and no paging count; the lookup that *re-checks* a fault in
flight owns both, and therefore never upgrades and passes queued writers.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.map.map_entry import entry_object, entry_share, vm_map_lookup_entry
from vmcore.object.object import vm_object_allocate
from vmcore.object.shadow import vm_object_shadow
from vmcore.structs import VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm

AGAIN = -1  # another reader upgrades too: everything is unlocked, start over


class Lookup:
    """What a lookup found, and which maps it left read-locked."""

    __slots__ = ("entry", "fault_type", "locked", "map", "object", "offset", "prot", "share", "wired")

    def __init__(self) -> None:
        self.map: VmMap | None = None
        self.share: VmMap | None = None
        self.entry: VmMapEntry | None = None
        self.object: VmObject | None = None
        self.offset = 0
        self.prot = 0
        self.fault_type = 0  # what to get ready for: of a wired entry, all that it allows
        self.wired = False
        self.locked = False


def vm_map_lookup_done(found: Lookup) -> None:
    """Unlock what the lookup left locked; harmless when nothing is."""
    if found.locked:
        if found.share is not None:
            found.share.lock.release()
            found.share = None
        if found.map is not None:
            found.map.lock.release()
        found.locked = False


@contract
def vm_map_lookup(
    vm: Vm, map: VmMap, address: int, fault_type: int, found: Lookup, wiring: bool = False
) -> int:
    """Find what backs the address, ready for an access of this type.

    A wired entry is made ready for everything that it allows, whatever is asked for.
    wiring: the caller reads the map already, so this read passes queued writers.

    Source: Mach vm/vm_map.c, vm_map_lookup.
    Enter:  nothing locked.
    Exit:   anything (success: found's maps read-locked; otherwise nothing).
    Takes:  any.
    Sleeps: yes (map locks).
    """
    while True:
        map.lock.read(pass_writers=wiring)
        found.map, found.locked = map, True
        result = lookup_locked(vm, map, address, fault_type, found, wiring)
        if result == KERN_SUCCESS:
            settle_rights(found, found.prot if found.wired else fault_type)
            result = complete_entry(vm, found.fault_type, found)
            if result == KERN_SUCCESS:
                return result
        vm_map_lookup_done(found)
        if result != AGAIN:
            return result
        vm.native.failure()


@contract
def vm_map_lookup_again(vm: Vm, map: VmMap, address: int, found: Lookup, wiring: bool) -> int:
    """Look again for a fault in flight: no write asked for, nothing created.

    The caller owns a busy page and a paging count, so the request passes queued
    writers: one of them may queue behind a reader that waits for that very page.

    Source: Mach vm/vm_fault.c, vm_fault (the second vm_map_lookup).
    Enter:  nothing locked.
    Exit:   anything (success: found's maps read-locked; otherwise nothing).
    Takes:  map, sharing map, map hint.
    Sleeps: yes (a writer that holds the map; none of them waits for pages).
    """
    map.lock.read(pass_writers=True)
    found.map, found.locked = map, True
    wanted = VM_PROT_NONE if wiring else VM_PROT_READ
    result = lookup_locked(vm, map, address, wanted, found, pass_writers=True)
    if result == KERN_SUCCESS:
        assert found.entry is not None
        settle_rights(found, wanted)
        found.object = entry_object(vm, found.entry)
    else:
        vm_map_lookup_done(found)
    return result


def lookup_locked(
    vm: Vm, map: VmMap, address: int, fault_type: int, found: Lookup, pass_writers: bool = False
) -> int:
    """Walk from the map's entry to the one that holds the object; map read-locked.

    Rights are what both entries allow; the main map's entry says whether we are wired.
    """
    inside, slot = vm_map_lookup_entry(vm, map, address)
    if not inside:
        return KERN_INVALID_ADDRESS
    entry = vm.entries.views[slot]
    found.wired = entry.wired_count > 0
    prot = entry.protection
    if fault_type & ~prot:
        return KERN_PROTECTION_FAILURE
    if entry.is_a_map:
        address = entry.offset + (address - entry.start)
        share = entry_share(vm, entry)
        share.lock.read(pass_writers=pass_writers)
        found.share = share
        inside, slot = vm_map_lookup_entry(vm, share, address)
        if not inside:
            return KERN_INVALID_ADDRESS
        entry = vm.entries.views[slot]
        prot &= entry.protection
        if fault_type & ~prot:
            return KERN_PROTECTION_FAILURE
    found.entry = entry
    found.offset = entry.offset + (address - entry.start)
    found.prot = prot
    return KERN_SUCCESS


def settle_rights(found: Lookup, fault_type: int) -> None:
    """What the fault prepares for, and what the mapping may allow before a shadow is there."""
    assert found.entry is not None
    found.fault_type = fault_type
    if found.entry.needs_copy and not fault_type & VM_PROT_WRITE:
        found.prot &= ~VM_PROT_WRITE


def complete_entry(vm: Vm, fault_type: int, found: Lookup) -> int:
    """Give the entry that was found its object, or its shadow before a first write."""
    entry = found.entry
    assert entry is not None
    if (entry.needs_copy and fault_type & VM_PROT_WRITE) or not entry.object:
        home = found.share or found.map
        assert home is not None
        address = entry.start + (found.offset - entry.offset)
        if not home.lock.upgrade():
            return AGAIN
        # No thread changed the map in between: an upgrade never lets the read lock go.
        home.timestamp += 1
        made = interpose(vm, entry, fault_type)
        home.lock.downgrade()
        if not made:
            return KERN_RESOURCE_SHORTAGE
        found.offset = entry.offset + (address - entry.start)
    found.object = vm.objects(entry.object)
    return KERN_SUCCESS


def interpose(vm: Vm, entry: VmMapEntry, fault_type: int) -> bool:
    """Replace the entry's object by a shadow of it, or give it its first object.

    The map that holds the entry is write-locked.  False when records ran out; nothing
    has changed then.
    """
    size = entry.end - entry.start
    if entry.needs_copy and fault_type & VM_PROT_WRITE:
        made = vm_object_shadow(vm, entry_object(vm, entry), entry.offset, size)
    else:
        made = vm_object_allocate(vm, size)
    if made is None:
        return False
    entry.object = vm.objects.ref(made)
    entry.offset = 0
    if fault_type & VM_PROT_WRITE:
        entry.needs_copy = 0
    return True
