"""Virtual copies of objects.

A *deferred* copy makes nothing: both sides keep the same object, and each interposes a
shadow of its own before its first write (``needs_copy`` of the entry).  It is right for
anonymous memory, and for private file mappings, which may see later changes of the file
until they write themselves (``symmetric``).

An object whose pager must see every change cannot be shadowed by its own users.  A
snapshot of it gets a *copy-object*, which shadows it, and to which every writer of the
source first pushes the old page (fault_push.py).  Only the newest copy-object receives
pushes: an older one is put behind it, so that what it misses it finds there.
"""

from __future__ import annotations

import time

from harness.locks.contract import contract
from vmcore.constants import OBJ_DYING, OBJ_INTERNAL, PG_COPYONWRITE, VM_PROT_READ
from vmcore.object.object import vm_object_allocate, vm_object_set_shadow
from vmcore.page.page import object_pages
from vmcore.page.page_flags import set_flags_o
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import VmObject
from vmcore.vm import Vm, release_later
from vmcore.vm_error import panic

BACK_OFF_S = 0.00005  # of the first retry; doubled for each further one
BACK_OFF_DOUBLINGS = 6

Copy = tuple[VmObject | None, int, bool]


@contract
def vm_object_copy(
    vm: Vm, object: VmObject | None, offset: int, size: int, symmetric: bool = False
) -> Copy | None:
    """(object, offset, does the source need a copy too); the result has a new reference.

    None when records ran out; nothing has changed then.

    Source: Mach vm/vm_object.c, vm_object_copy.
    Enter:  object unlocked (referenced by the caller; the map is write-locked).
    Exit:   same.
    Takes:  object, object list, pool, page queues, pv, pmap.
    Sleeps: never (it backs off briefly while another thread holds the copy-object).
    """
    if object is None:
        return None, 0, False
    object.lock.acquire()
    if symmetric or object.flags & OBJ_INTERNAL or not object.pager:
        object.ref_count += 1
        mark_copy_on_write(vm, object, offset, offset + size)
        object.lock.release()
        return object, offset, True
    object.lock.release()
    copy = copy_object_of(vm, object)
    return None if copy is None else (copy, offset, False)


def mark_copy_on_write(vm: Vm, object: VmObject, start: int, end: int) -> None:
    """Set the advisory flag on the pages of a range; object locked."""
    for page in object_pages(vm, object):
        if start <= page.offset < end:
            set_flags_o(vm, page, PG_COPYONWRITE)


@contract
def copy_object_of(vm: Vm, source: VmObject) -> VmObject | None:
    """A copy-object of source as it is now, with a reference for the caller.

    Source: Mach vm/vm_object.c, vm_object_copy (asymmetric).
    Enter:  source unlocked (and referenced).
    Exit:   same.
    Takes:  object, object list, pool, page queues, pv, pmap.
    Sleeps: never.
    """
    fresh: VmObject | None = None
    tries = 0
    while True:
        source.lock.acquire()
        old: VmObject | None = vm.objects(source.copy) if source.copy else None
        if old is not None and not old.lock.try_acquire():
            # It is a shadower of ours and wants us next: waiting would close the circle,
            # and trying again at once could starve it of our lock for ever.
            source.lock.release()
            yield_to_holder(vm, tries)
            tries += 1
            continue
        if old is not None and nothing_pushed(source, old):
            old.ref_count += 1
            old.lock.release()
            source.lock.release()
            if fresh is not None:
                release_later(vm, fresh, False)
            return old
        if fresh is not None:
            interpose_copy(vm, source, fresh, old)
            return fresh
        if old is not None:
            old.lock.release()
        size = source.size
        source.lock.release()
        fresh = vm_object_allocate(vm, size)
        if fresh is None:
            return None


@contract
def yield_to_holder(vm: Vm, tries: int) -> None:
    """Give the thread that holds the copy-object time to go on; longer with every try.

    Enter:  anything (no mutex of ours is wanted by that holder).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    vm.native.failure()
    time.sleep(BACK_OFF_S * (1 << min(tries, BACK_OFF_DOUBLINGS)))


def nothing_pushed(source: VmObject, copy: VmObject) -> bool:
    """Is the copy-object still exactly what source holds?  Both locked.

    It cannot be dying: its terminator keeps it locked from the last reference until
    ``source.copy`` no longer names it.
    """
    if copy.flags & OBJ_DYING or copy.ref_count <= 0:
        raise panic(f"object {source.slot} names a dying copy-object {copy.slot}", source, copy)
    return not copy.resident_page_count and not copy.pager and copy.size >= source.size


@contract
def interpose_copy(vm: Vm, source: VmObject, fresh: VmObject, old: VmObject | None) -> None:
    """Make fresh the copy-object of source, in front of it and behind the old one.

    From here on no writable mapping of source exists in any map: the pages, busy ones
    too, are write-protected under source's lock, and a fault tests ``copy`` and enters
    its mapping under one hold of that lock.

    Enter:  source locked; fresh unlocked (and ours alone).
    Exit:   source, fresh unlocked.
    Takes:  object, page queues, pv, pmap.
    Sleeps: never.
    """
    if not fresh.lock.try_acquire():  # ours alone: no thread can have found it yet
        raise panic(f"new object {fresh.slot} is locked by another thread", fresh)
    fresh.size = source.size  # it may have grown since the allocation
    if old is not None:
        if not old.shadow or vm.objects(old.shadow) is not source or old.shadow_offset:
            raise panic(f"copy-object {old.slot} does not shadow object {source.slot} at 0", old, source)
        vm_object_set_shadow(vm, old, fresh)
        old.lock.release()
    vm_object_set_shadow(vm, fresh, source)
    fresh.shadow_offset = 0
    source.copy = vm.objects.ref(fresh)
    protect_source(vm, source)
    fresh.lock.release()
    source.lock.release()


@contract
def protect_source(vm: Vm, source: VmObject) -> None:
    """Make every page of an object that has a copy read-only, in whatever map.

    Enter:  source locked.
    Exit:   same.
    Takes:  page queues, pv, pmap.
    Sleeps: never.
    """
    for page in object_pages(vm, source):
        set_flags_o(vm, page, PG_COPYONWRITE)
        pmap_page_protect(vm, page, VM_PROT_READ)
