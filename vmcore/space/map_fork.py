"""What a child gets: nothing, the same memory, or a copy made on demand.

The parent's map is write-locked for the whole fork, which makes it one instant for all
of the parent's threads.  A *shared* range is moved into a sharing map that both main
entries point to, so that a later copy-on-write of the range is seen by both.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import VM_INHERIT_NONE, VM_INHERIT_SHARE, VM_PROT_ALL, VM_PROT_WRITE
from vmcore.fault.fault_copy_entry import own_wired_pages, vm_fault_copy_entry
from vmcore.map.map import map_pmap, vm_map_create
from vmcore.map.map_clip import entries_between, vm_map_reference
from vmcore.map.map_entry import (
    entry_object,
    entry_share,
    vm_map_entry_clone,
    vm_map_entry_create,
    vm_map_entry_link,
)
from vmcore.object.object import vm_object_allocate
from vmcore.object.object_copy import vm_object_copy
from vmcore.object.object_pages import vm_object_pmap_copy
from vmcore.pmap.pmap_range import pmap_protect
from vmcore.structs import VmMap, VmMapEntry
from vmcore.vm import Vm


@contract
def vm_map_fork(vm: Vm, parent: VmMap, child: VmMap, busy: list[VmMap]) -> bool:
    """Fill the child's empty map from the parent's; False when records or memory ran out.

    Then the child's map holds a part, which the caller deletes.  Or False, and ``busy``
    has got a sharing map, with a reference, whose wirers the caller has to wait for.

    Source: Mach vm/vm_map.c, vmspace_fork.
    Enter:  parent, child write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (locks of sharing maps).
    """
    for entry in entries_between(vm, parent, parent.min_offset, parent.max_offset):
        if entry.inheritance == VM_INHERIT_NONE:
            continue
        if entry.inheritance == VM_INHERIT_SHARE:
            done = share_entry(vm, parent, child, entry)
        elif entry.is_a_map:
            done = copy_shared_entry(vm, child, entry, busy)
        else:
            done = copy_private_entry(vm, parent, child, entry)
        if not done:
            return False
    return True


def append(vm: Vm, child: VmMap, entry: VmMapEntry) -> None:
    """Link an entry at the end: the parent's entries come in address order."""
    vm_map_entry_link(vm, child, child.last, entry)


@contract
def share_entry(vm: Vm, parent: VmMap, child: VmMap, entry: VmMapEntry) -> bool:
    """SHARE: both sides point to one sharing map.

    Enter:  parent, child write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory, when the entry is wired).
    """
    if not entry.is_a_map:
        if entry.wired_count and not own_wired_pages(vm, parent, entry):
            return False
        if not interpose_sharing_map(vm, entry):
            return False
    clone = vm_map_entry_clone(vm, entry)
    if clone is None:
        return False
    vm_map_reference(vm, entry_share(vm, entry))
    append(vm, child, clone)
    return True


@contract
def interpose_sharing_map(vm: Vm, entry: VmMapEntry) -> bool:
    """Move what the entry holds into a new sharing map, and point the entry to it.

    An object that does not exist yet is made now, or each side would make its own.
    ``needs_copy`` moves too: a shadow must then be interposed where both find it.

    Enter:  anything (the entry's map is write-locked).
    Exit:   same.
    Takes:  object list, pool.
    Sleeps: never.
    """
    if not entry.object:
        fresh = vm_object_allocate(vm, entry.end - entry.start)
        if fresh is None:
            return False
        entry.object, entry.offset = vm.objects.ref(fresh), 0
        entry.needs_copy = 0
    share = vm_map_create(vm, None, entry.start, entry.end)
    if share is None:
        return False
    inner = vm_map_entry_create(vm, entry.start, entry.end, VM_PROT_ALL, VM_PROT_ALL)
    if inner is None:
        vm.sharing_maps.free(share)
        return False
    inner.object, inner.offset = entry.object, entry.offset
    inner.needs_copy, inner.copy_on_write = entry.needs_copy, entry.copy_on_write
    inner.wired_count = entry.wired_count
    vm_map_entry_link(vm, share, 0, inner)  # private still: no thread can find the sharing map
    entry.is_a_map = 1
    entry.object, entry.offset = vm.sharing_maps.ref(share), entry.start
    entry.needs_copy = entry.copy_on_write = 0
    return True


@contract
def copy_private_entry(vm: Vm, parent: VmMap, child: VmMap, entry: VmMapEntry) -> bool:
    """COPY of an entry that holds an object itself.

    Enter:  parent, child write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory, when the entry is wired).
    """
    clone = vm_map_entry_clone(vm, entry)
    if clone is None:
        return False
    if not entry.needs_copy:
        pmap = map_pmap(vm, parent)
        if pmap is not None and entry.object:
            pmap_protect(vm, pmap, entry.start, entry.end, entry.protection & ~VM_PROT_WRITE)
    if not vm_map_copy_entry(vm, entry, clone, entry.offset, entry.end - entry.start):
        return False
    append(vm, child, clone)
    return True


@contract
def copy_shared_entry(vm: Vm, child: VmMap, entry: VmMapEntry, busy: list[VmMap]) -> bool:
    """COPY of a range that is shared: a private snapshot of each piece of the sharing map.

    All sharers must stop writing without a fault, so the protection goes through the
    object and reaches every map.

    Enter:  child write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the sharing map's lock).
    """
    share = entry_share(vm, entry)
    low, high = entry.offset, entry.offset + (entry.end - entry.start)
    done = True
    share.lock.write()
    share.timestamp += 1
    for inner in entries_between(vm, share, low, high):
        if inner.wired_count and share.wirings:
            vm_map_reference(vm, share)
            busy.append(share)
            done = False
            break
        first, last = max(inner.start, low), min(inner.end, high)
        clone = vm_map_entry_create(
            vm,
            entry.start + (first - low),
            entry.start + (last - low),
            entry.protection & inner.protection,
            entry.max_protection,
            entry.inheritance,
        )
        if clone is None:
            done = False
            break
        if not inner.needs_copy:
            vm_object_pmap_copy(
                vm, entry_object(vm, inner), inner.offset, inner.offset + (inner.end - inner.start)
            )
        if not vm_map_copy_entry(vm, inner, clone, inner.offset + (first - inner.start), last - first):
            done = False
            break
        append(vm, child, clone)
    share.lock.release()
    return done


@contract
def vm_map_copy_entry(vm: Vm, source: VmMapEntry, copy: VmMapEntry, offset: int, size: int) -> bool:
    """Make ``copy`` a copy-on-write copy of (source's object, offset); False without records.

    Then the copy, which no thread has seen, goes back to its pool.  A wired source is copied
    at once, and nothing changes for it.

    Source: Mach vm/vm_map.c, vm_map_copy_entry.
    Enter:  anything (the maps of both entries are write-locked).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory, when the source is wired).
    """
    if source.wired_count:
        return copy_wired(vm, source, copy, offset, size)
    made = vm_object_copy(vm, entry_object(vm, source), offset, size)
    if made is None:
        vm.entries.free(copy)
        return False
    object, copied_offset, source_needs_copy = made
    copy.object = vm.objects.ref(object) if object is not None else 0
    copy.offset = copied_offset
    copy.is_a_map = copy.wired_count = 0
    if source_needs_copy:
        source.needs_copy = 1
    copy.needs_copy = copy.copy_on_write = 1
    source.copy_on_write = 1
    return True


def copy_wired(vm: Vm, source: VmMapEntry, copy: VmMapEntry, offset: int, size: int) -> bool:
    """The eager half of vm_map_copy_entry: the copy gets an object of its own."""
    object = entry_object(vm, source)
    assert object is not None  # it has wired pages
    made = vm_fault_copy_entry(vm, object, offset, size)
    if made is None:
        vm.entries.free(copy)
        return False
    copy.object, copy.offset = vm.objects.ref(made), 0
    copy.is_a_map = copy.wired_count = copy.needs_copy = copy.copy_on_write = 0
    return True
