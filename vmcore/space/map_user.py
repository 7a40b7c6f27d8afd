"""What a process asks of its map: allocate, map a file, unmap, move, forget.

Sizes and addresses are multiples of the page size (refused otherwise).  An address
means "exactly there, instead of whatever is mapped"; without one the lowest hole is
taken.  Growing the heap is a fixed allocation right behind it.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    OBJ_INTERNAL,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
)
from vmcore.map.map import (
    link_sorted,
    map_pmap,
    range_is_free,
    vm_map_delete,
    vm_map_insert,
    vm_map_remove,
    vm_map_unlock_and_release,
)
from vmcore.map.map_clip import entries_between, vm_map_clip_range
from vmcore.map.map_entry import entry_object, vm_map_entry_unlink
from vmcore.map.map_place import note_moved, place, place_object
from vmcore.object.object import vm_object_reference
from vmcore.object.object_copy import vm_object_copy
from vmcore.object.shadow import vm_object_shadow
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.pmap.coloring import congruent
from vmcore.pmap.pmap_range import pmap_remove
from vmcore.structs import VmMap, VmMapEntry, VmObject, Vnode
from vmcore.vm import Vm, release_later
from vmcore.vm_error import VmError, panic


def require_pages(vm: Vm, what: str, *values: int) -> None:
    """Refuse what is not a multiple of the page size, before anything is locked."""
    if any(value % vm.page_size for value in values):
        raise VmError(f"{what}: not a multiple of the page size", KERN_INVALID_ARGUMENT)


@contract
def require_pager(object: VmObject) -> None:
    """Pager first, map second: what is in a map can be faulted on at once, by another thread.

    Such a fault would find no pager, fill a page with zeros, and hide the pager's for ever.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    pager = object.pager
    object.lock.release()
    if not pager:
        raise panic(f"object {object.slot} is to be mapped before its pager is installed", object)


@contract
def vm_allocate(
    vm: Vm,
    map: VmMap,
    size: int,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
    inheritance: int = VM_INHERIT_COPY,
) -> int:
    """Map zero-filled memory and return its address; VmError when it cannot be done.

    Source: Mach vm/vm_user.c, vm_allocate.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations of what was mapped there).
    """
    require_pages(vm, "vm_allocate", size, address or 0)
    map.lock.write()
    map.timestamp += 1
    code, start, shares = place(vm, map, size, address)
    if code == KERN_SUCCESS:
        code = vm_map_insert(vm, map, None, 0, start, start + size, protection, inheritance)
    vm_map_unlock_and_release(vm, map, shares)
    if code != KERN_SUCCESS:
        raise VmError("vm_allocate", code)
    return start


@contract
def vm_deallocate(vm: Vm, map: VmMap, start: int, size: int) -> None:
    """Unmap a range; VmError when no record is left to clip an entry.

    Source: Mach vm/vm_user.c, vm_deallocate.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (see vm_map_remove).
    """
    require_pages(vm, "vm_deallocate", start, size)
    code = vm_map_remove(vm, map, start, start + size)
    if code != KERN_SUCCESS:
        raise VmError("vm_deallocate", code)


@contract
def vm_map_file(
    vm: Vm,
    map: VmMap,
    vnode: Vnode,
    size: int,
    offset: int = 0,
    shared: bool = False,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
    copy: bool = False,
) -> int:
    """Map a file and return the address; VmError when it cannot be done.

    Shared: stores go to the file's pages, and children share the mapping.  Private:
    the file's pages are seen until the first store, which goes to a shadow object.
    Copy (MAP_COPY): private, and the file as it is now, whatever others store later.

    Source: 4.4BSD vm/vm_mmap.c, vm_mmap.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a dying pager of the same file; map lock; terminations).
    """
    require_pages(vm, "vm_map_file", size, offset, address or 0)
    object = vnode_pager_alloc(vm, vnode)  # with a reference; before the map is locked
    if object is None:
        raise VmError("vm_map_file", KERN_RESOURCE_SHORTAGE)
    require_pager(object)
    inheritance = VM_INHERIT_SHARE if shared else VM_INHERIT_COPY
    map.lock.write()
    map.timestamp += 1
    code, start, shares = place_object(vm, map, object, offset, size, address)
    if code == KERN_SUCCESS:
        front, at = front_of_file(vm, object, offset, size, shared, copy)
        code = int(KERN_RESOURCE_SHORTAGE)
        if front is not None:
            code = vm_map_insert(
                vm, map, front, at, start, start + size, protection, inheritance, not shared, copy
            )
            if code != KERN_SUCCESS:
                release_later(vm, front, False)
    release_later(vm, object, False)  # what is mapped has a reference of its own
    vm_map_unlock_and_release(vm, map, shares)
    if code != KERN_SUCCESS:
        raise VmError("vm_map_file", code)
    return start


def front_of_file(
    vm: Vm, object: VmObject, offset: int, size: int, shared: bool, copy: bool
) -> tuple[VmObject | None, int]:
    """What a mapping of (a file's object, offset) holds, with a reference, and its offset there.

    A copy-object keeps what the file is now.  A private mapping is a deferred copy although
    the object is a file's, with its shadow made at once: left to the first store, a fork
    before that store would copy the file's object as such, and so freeze the file.
    None when records ran out.
    """
    if shared:
        vm_object_reference(vm, object)
        return object, offset
    made = vm_object_copy(vm, object, offset, size, symmetric=not copy)
    if made is None:
        return None, 0
    source, source_offset, _ = made
    if copy or source is None:
        return source, source_offset
    shadow = vm_object_shadow(vm, source, source_offset, size)
    if shadow is None:
        release_later(vm, source, False)
    return shadow, 0


@contract
def vm_map_move(
    vm: Vm, map: VmMap, old: int, old_size: int, new_size: int, address: int | None = None
) -> int:
    """mremap: resize a range, where it lies if there is room, else at a new place.

    Not historical; programs of today need it.  Objects and offsets stay, so the
    contents move without a copy; growth is an adjacent entry of new memory, which is not
    wired.  A wired range keeps its place: KERN_INVALID_ARGUMENT if it would have to move.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    require_pages(vm, "vm_map_move", old, old_size, new_size, address or 0)
    map.lock.write()
    map.timestamp += 1
    shares: list[VmMap] = []
    code, start = move_locked(vm, map, old, old_size, new_size, address, shares)
    vm_map_unlock_and_release(vm, map, shares)
    if code != KERN_SUCCESS:
        raise VmError("vm_map_move", code)
    return start


def move_locked(
    vm: Vm, map: VmMap, old: int, old_size: int, new_size: int, address: int | None, shares: list[VmMap]
) -> tuple[int, int]:
    """The decision of vm_map_move; map write-locked."""
    # All refusals come before the first change: a call that fails must not have unmapped anything.
    code = why_not_move(vm, map, old, old_size, new_size, address)
    if code == KERN_SUCCESS and new_size < old_size:
        code, old_size = shrink(vm, map, old, old_size, new_size, shares), new_size
    if code != KERN_SUCCESS:
        return code, 0
    if address is not None or not has_room(vm, map, old, old_size, new_size):
        return relocate(vm, map, old, old_size, new_size, address, shares)
    if new_size > old_size:
        last = entries_between(vm, map, old, old + old_size)[-1]
        code = grow(vm, map, last, old + old_size, new_size - old_size)
    return code, old


def why_not_move(vm: Vm, map: VmMap, old: int, old_size: int, new_size: int, address: int | None) -> int:
    """KERN_SUCCESS, or why the range cannot be resized or moved; map write-locked."""
    entries = entries_between(vm, map, old, old + old_size)
    if not entries or old_size <= 0 or new_size <= 0:
        return KERN_INVALID_ADDRESS
    if address is not None and address < old + old_size and old < address + new_size:
        return KERN_INVALID_ARGUMENT
    moves = address is not None or not has_room(vm, map, old, old_size, new_size)
    if moves and any(entry.wired_count for entry in entries):
        return KERN_INVALID_ARGUMENT
    if address is not None and not map.min_offset <= address < address + new_size <= map.max_offset:
        return KERN_NO_SPACE
    return KERN_SUCCESS


def has_room(vm: Vm, map: VmMap, old: int, old_size: int, new_size: int) -> bool:
    """Can the range have its new size where it lies?  Map locked."""
    return new_size <= old_size or range_is_free(vm, map, old + old_size, old + new_size)


def shrink(vm: Vm, map: VmMap, old: int, old_size: int, new_size: int, shares: list[VmMap]) -> int:
    """Unmap what is too much; KERN_RESOURCE_SHORTAGE: nothing was.  Map write-locked."""
    gone = vm_map_delete(vm, map, old + new_size, old + old_size)
    if gone is None:
        return KERN_RESOURCE_SHORTAGE
    shares += gone
    return KERN_SUCCESS


def relocate(
    vm: Vm, map: VmMap, old: int, old_size: int, new_size: int, address: int | None, shares: list[VmMap]
) -> tuple[int, int]:
    """Move the range to ``address``, or where there is room, and let it grow there; map write-locked."""
    old_end = old + old_size
    if address is not None and congruent(vm, old, address) != address:
        note_moved(vm, entries_between(vm, map, old, old_end))
    code, start, gone = place(vm, map, new_size, address, lambda at: congruent(vm, old, at))
    shares += gone
    if code == KERN_SUCCESS and not vm_map_clip_range(vm, map, old, old_end):
        code = KERN_RESOURCE_SHORTAGE
    if code == KERN_SUCCESS:
        last = relink(vm, map, old, old_end, start - old)
        if new_size > old_size and last is not None:
            code = grow(vm, map, last, start + old_size, new_size - old_size)
    return code, start


def grow(vm: Vm, map: VmMap, like: VmMapEntry, start: int, size: int) -> int:
    """New memory behind an entry, with its rights; map write-locked."""
    return vm_map_insert(vm, map, None, 0, start, start + size, like.protection, like.inheritance)


def relink(vm: Vm, map: VmMap, start: int, end: int, distance: int) -> VmMapEntry | None:
    """Move clipped entries by distance; the last of them.  Map write-locked."""
    pmap = map_pmap(vm, map)
    assert pmap is not None
    moving = entries_between(vm, map, start, end)
    pmap_remove(vm, pmap, start, end)
    for entry in moving:
        vm_map_entry_unlink(vm, map, entry)
        entry.start, entry.end = entry.start + distance, entry.end + distance
    for entry in moving:
        link_sorted(vm, map, entry)
    return moving[-1] if moving else None


@contract
def vm_map_discard(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """MADV_DONTNEED: private anonymous memory of the range reads zeros again.

    Delete and re-insert.  Shared memory and file mappings are left alone: there the
    advice gives up nothing that the object would not bring back.  Of a range that is
    wired in part nothing is forgotten: KERN_INVALID_ARGUMENT.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    require_pages(vm, "vm_map_discard", start, end)
    map.lock.write()
    map.timestamp += 1
    shares: list[VmMap] = []
    if any(entry.wired_count for entry in entries_between(vm, map, start, end)):
        code = KERN_INVALID_ARGUMENT
    else:
        code = KERN_SUCCESS if vm_map_clip_range(vm, map, start, end) else KERN_RESOURCE_SHORTAGE
    if code == KERN_SUCCESS:
        for entry in entries_between(vm, map, start, end):
            if not entry.is_a_map and entry.object and is_anonymous(vm, entry):
                forget(vm, map, entry)
    vm_map_unlock_and_release(vm, map, shares)
    return int(code)


def forget(vm: Vm, map: VmMap, entry: VmMapEntry) -> None:
    """Turn the entry back into one that was never touched; its object is released later."""
    pmap = map_pmap(vm, map)
    object = entry_object(vm, entry)
    assert pmap is not None
    assert object is not None
    pmap_remove(vm, pmap, entry.start, entry.end)
    entry.object = entry.offset = entry.copy_on_write = entry.needs_copy = 0
    release_later(vm, object, False)


@contract
def is_anonymous(vm: Vm, entry: VmMapEntry) -> bool:
    """Is there no file at the bottom of the entry's chain?  Walks it hand over hand.

    Enter:  anything (the map is write-locked).
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object = vm.objects(entry.object)
    object.lock.acquire()
    while object.shadow:
        below = vm.objects(object.shadow)
        below.lock.acquire()
        object.lock.release()
        object = below
    internal = bool(object.flags & OBJ_INTERNAL)
    object.lock.release()
    return internal
