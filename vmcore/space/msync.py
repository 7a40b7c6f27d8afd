"""msync: bring backing store up to date, and on request forget what memory holds of it.

Nothing is cleaned under the map lock.  Cleaning waits for pages, and the owner of a
page may be waiting for this map; so the objects of the range are collected, each with a
reference, and the map is unlocked before the first of them is touched.

Invalidation gives up *copies* only.  It concerns files: a page is dropped when it is
clean once no thread can store to it any more, and the next access reads the file.  A page
that was stored to since it was written (or that the caller may not write) is data that
exists nowhere else, and stays.  Anonymous memory, named or not, has no other place that
any thread could have changed, so there is nothing to get by dropping it; it is left alone.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    OBJ_INTERNAL,
    PG_VNODE,
    VM_PROT_WRITE,
)
from vmcore.map.map_clip import entries_between
from vmcore.map.map_entry import entry_share
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.object.object_page_remove import vm_object_page_remove
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.structs import VmMap, VmMapEntry, VmObject
from vmcore.vm import Vm


class Piece(NamedTuple):
    """What a range shows of one object, on which we have a reference."""

    object: VmObject
    start: int  # offsets in the object
    end: int
    writable: bool


@contract
def vm_map_clean(vm: Vm, map: VmMap, start: int, end: int, sync: bool, invalidate: bool) -> tuple[int, int]:
    """Write the dirty pages of [start, end) to their pagers: (KERN_* code, pages left).

    KERN_INVALID_ADDRESS: the range has holes, and nothing was done.  KERN_FAILURE: some
    page could not be written (I/O error, no swap, a file that became shorter meanwhile);
    it is dirty still, and everything else was done nevertheless.  "Left" are the pages
    that invalidation did not drop because they are wired or dirty.

    Source: Mach vm/vm_map.c, vm_map_clean.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; writes; busy pages; terminations).
    """
    if start % vm.page_size or end % vm.page_size or start > end:
        return KERN_INVALID_ARGUMENT, 0
    if start == end:
        return KERN_SUCCESS, 0  # to vm_object_page_clean an empty range is the whole object
    map.lock.read()
    whole = is_covered(vm, map, start, end)
    pieces = collect(vm, map, start, end, True) if whole else []
    map.lock.release()
    if not whole:
        return KERN_INVALID_ADDRESS, 0
    code, left = KERN_SUCCESS, 0
    for piece in pieces:
        done, stayed = clean_piece(vm, piece, sync, invalidate)
        vm_object_deallocate(vm, piece.object)
        left += stayed
        if not done:
            code = KERN_FAILURE
    return code, left


def is_covered(vm: Vm, map: VmMap, start: int, end: int) -> bool:
    """Is every address of the range mapped?  Map locked."""
    for entry in entries_between(vm, map, start, end):
        if entry.start > start:
            return False
        start = entry.end
    return start >= end


@contract
def collect(vm: Vm, map: VmMap, start: int, end: int, writable: bool) -> list[Piece]:
    """The objects behind a range, in order, each with a reference; untouched entries have none.

    An entry's object cannot be dying or half absorbed: the entry itself is a reference.

    Enter:  map locked.
    Exit:   same.
    Takes:  sharing map, object, map hint.
    Sleeps: yes (a sharing map's lock).
    """
    found: list[Piece] = []
    for entry in entries_between(vm, map, start, end):
        if entry.object:
            found += collect_entry(vm, entry, start, end, writable)
    return found


@contract
def collect_entry(vm: Vm, entry: VmMapEntry, start: int, end: int, writable: bool) -> list[Piece]:
    """What a range shows of the object, or of the sharing map, of one entry.

    Enter:  anything (the entry's map is locked).
    Exit:   same.
    Takes:  sharing map, object, map hint.
    Sleeps: yes (a sharing map's lock).
    """
    low = entry.offset + max(start, entry.start) - entry.start
    high = entry.offset + min(end, entry.end) - entry.start
    may_write = writable and bool(entry.protection & VM_PROT_WRITE)
    if entry.is_a_map:
        share = entry_share(vm, entry)
        share.lock.read()
        found = collect(vm, share, low, high, may_write)
        share.lock.release()
        return found
    object = vm.objects(entry.object)
    vm_object_reference(vm, object)
    return [Piece(object, low, high, may_write)]


@contract
def clean_piece(vm: Vm, piece: Piece, sync: bool, invalidate: bool) -> tuple[bool, int]:
    """Clean, then invalidate, the pages of one object: (no write failed, pages left).

    Enter:  nothing locked (we have a reference on the object).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (writes; busy pages).
    """
    object = piece.object
    done, left = True, 0
    object.lock.acquire()
    if piece.writable:
        done = vm_object_page_clean(vm, object, piece.start, piece.end, sync, False)
    if invalidate and is_file(vm, object):
        left = vm_object_page_remove(vm, object, piece.start, piece.end, spare_dirty=True)
    object.lock.release()
    return done, left


def is_file(vm: Vm, object: VmObject) -> bool:
    """Does a file stand behind the object itself?  Object locked."""
    if object.flags & OBJ_INTERNAL or not object.pager:
        return False
    return bool(vm.pagers(object.pager).pg_type == PG_VNODE)
