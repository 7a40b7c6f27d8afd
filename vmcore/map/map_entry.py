"""Map entries: the sorted list of a map, found, linked, unlinked.

Everything here needs the map lock (write mode to change) and takes no lock but the
hint's.  The hint is never stale: only a holder of the write lock removes an entry, and
it moves the hint away first; so readers may use it without its lock, which only keeps
two writers of the hint apart.
"""

from __future__ import annotations

from vmcore.constants import VM_INHERIT_COPY
from vmcore.structs import VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm


def vm_map_entry_create(
    vm: Vm, start: int, end: int, protection: int, max_protection: int, inheritance: int = VM_INHERIT_COPY
) -> VmMapEntry | None:
    """A new, unlinked entry without object, or None when the table is full."""
    entry: VmMapEntry | None = vm.entries.allocate()
    if entry is None:
        return None
    entry.start, entry.end = start, end  # the pool has zeroed every other field
    entry.protection, entry.max_protection = protection, max_protection
    entry.inheritance = inheritance
    return entry


def vm_map_entry_clone(vm: Vm, entry: VmMapEntry) -> VmMapEntry | None:
    """A copy of the entry, unlinked and unwired; the object's reference is *not* taken."""
    clone = vm_map_entry_create(
        vm, entry.start, entry.end, entry.protection, entry.max_protection, entry.inheritance
    )
    if clone is not None:
        clone.object, clone.offset, clone.is_a_map = entry.object, entry.offset, entry.is_a_map
        clone.copy_on_write, clone.needs_copy = entry.copy_on_write, entry.needs_copy
    return clone


def vm_map_entry_link(vm: Vm, map: VmMap, after: int, entry: VmMapEntry) -> None:
    """Link entry behind the entry in slot ``after`` (0: at the head); map write-locked."""
    views = vm.entries.views
    following = views[after].next if after else map.first
    entry.prev, entry.next = after, following
    if after:
        views[after].next = entry.slot
    else:
        map.first = entry.slot
    if following:
        views[following].prev = entry.slot
    else:
        map.last = entry.slot
    map.nentries += 1
    map.size += entry.end - entry.start
    entry.home = map.lock.offset  # last: until now it was ours alone


def vm_map_entry_unlink(vm: Vm, map: VmMap, entry: VmMapEntry) -> None:
    """Take entry out of its map; the record stays the caller's."""
    views = vm.entries.views
    following, previous = entry.next, entry.prev
    if previous:
        views[previous].next = following
    else:
        map.first = following
    if following:
        views[following].prev = previous
    else:
        map.last = previous
    map.hint_lock.acquire()
    if map.hint == entry.slot:
        map.hint = previous
    map.hint_lock.release()
    map.nentries -= 1
    map.size -= entry.end - entry.start
    entry.home = 0


def vm_map_lookup_entry(vm: Vm, map: VmMap, address: int) -> tuple[bool, int]:
    """(is address mapped, slot of the entry that holds or precedes it); 0: none precedes.

    Source: Mach vm/vm_map.c, vm_map_lookup_entry.
    """
    views = vm.entries.views
    slot = map.hint
    if slot:
        entry = views[slot]
        if entry.start > address:
            slot = 0
        elif address < entry.end:
            return True, slot
    return search_from(vm, map, slot, address)


def search_from(vm: Vm, map: VmMap, slot: int, address: int) -> tuple[bool, int]:
    """Walk up from slot (0: the head) and leave the hint where the walk ends."""
    views = vm.entries.views
    before = slot
    slot = views[slot].next if slot else map.first
    while slot:
        entry = views[slot]
        if entry.start > address:
            break
        before = slot
        slot = entry.next
    if before:
        map.hint_lock.acquire()
        map.hint = before
        map.hint_lock.release()
        return address < views[before].end, before
    return False, 0


def first_from(vm: Vm, map: VmMap, start: int) -> int:
    """Slot of the first entry that reaches beyond start; 0: there is none."""
    inside, slot = vm_map_lookup_entry(vm, map, start)
    if inside:
        return slot
    following: int = vm.entries.views[slot].next if slot else map.first
    return following


def entry_object(vm: Vm, entry: VmMapEntry) -> VmObject | None:
    """The object of an entry that is no sharing map, or None."""
    return vm.objects(entry.object) if entry.object else None


def entry_share(vm: Vm, entry: VmMapEntry) -> VmMap:
    """The sharing map of an entry that has one."""
    share: VmMap = vm.sharing_maps(entry.object)
    return share
