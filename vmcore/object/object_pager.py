"""An object's backing store: getting one, asking it, taking pages out of it.

Pagers speak in *their* offsets; ``paging_offset`` is the object's place inside, and it
is not zero once the pager was inherited by a collapse.  The translation is done here
and nowhere else.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_PAGERALLOC, PG_SWAP
from vmcore.object.object import vm_object_setpager
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_lookup
from vmcore.page_events import FORGOTTEN, pack
from vmcore.pager.pager import (
    vm_pager_allocate,
    vm_pager_count,
    vm_pager_deallocate,
    vm_pager_has_page,
    vm_pager_next,
    vm_pager_remove,
)
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm


@contract
def ensure_pager(vm: Vm, object: VmObject) -> bool:
    """Give an anonymous object its swap pager; True when there is one.

    The lock is dropped around the allocation.  PAGERALLOC keeps a second allocator
    out, the paging count keeps collapse from handing over another pager meanwhile,
    and still both are re-checked: the loser's pager held nothing and is thrown away.

    Enter:  object locked (kept alive by a reference or a paging count of the caller).
    Exit:   object locked, dropped in between.
    Takes:  object, pager, swap map, pool, channel.
    Sleeps: never.
    """
    if object.pager:
        return True
    if object.flags & OBJ_PAGERALLOC:
        return False
    object.flags |= OBJ_PAGERALLOC
    vm_object_paging_begin(vm, object)
    pager, size = allocate_unlocked(vm, object)
    if pager is not None:
        install_pager(vm, object, pager, size)
    object.flags &= ~OBJ_PAGERALLOC
    vm_object_paging_end(vm, object)
    return bool(object.pager)


@contract
def allocate_unlocked(vm: Vm, object: VmObject) -> tuple[Pager | None, int]:
    """A swap pager that no object has yet, and the size that it was made for.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, pager, pool, channel.
    Sleeps: never.
    """
    size = object.size
    object.lock.release()
    pager = vm_pager_allocate(vm, PG_SWAP, 0, size)
    vm.point("pager allocated", object.slot)
    object.lock.acquire()
    return pager, size


@contract
def install_pager(vm: Vm, object: VmObject, pager: Pager, size: int) -> None:
    """Give the object its pager, if it still has none and has not outgrown this one; else it goes.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager, swap map, pool, channel.
    Sleeps: never.
    """
    if not object.pager and object.size <= size:
        vm_object_setpager(vm, object, pager, 0)
    else:
        vm_pager_deallocate(vm, pager)


@contract
def pager_holds(vm: Vm, object: VmObject, offset: int) -> bool:
    """Does the object's own pager have the page at this object offset?

    Enter:  object locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    if not object.pager:
        return False
    return vm_pager_has_page(vm, vm.pagers(object.pager), offset + object.paging_offset)


def object_holds(vm: Vm, object: VmObject, offset: int) -> bool:
    """Resident or swapped: would the object itself answer for this offset?  Object locked."""
    return vm_page_lookup(vm, object, offset) is not None or pager_holds(vm, object, offset)


@contract
def next_in_pager(vm: Vm, object: VmObject, offset: int) -> int | None:
    """Smallest object offset >= offset that the pager holds.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    if not object.pager:
        return None
    pager = vm.pagers(object.pager)
    found = vm_pager_next(vm, pager, offset + object.paging_offset)
    if found >= pager.sw_osize:
        return None
    return int(found - object.paging_offset)


@contract
def remove_from_pager(vm: Vm, object: VmObject, start: int, end: int) -> int:
    """Forget the pager's pages in [start, end); an empty pager goes too.  How many went.

    Source: NetBSD vm/vm_object.c (1997), vm_object_remove_from_pager.
    Enter:  object locked (paging_in_progress is 0, so nothing below sleeps).
    Exit:   same.
    Takes:  pager, swap map, pool, channel, I/O list.
    Sleeps: never.
    """
    if not object.pager or start >= end:
        return 0
    pager = vm.pagers(object.pager)
    base = object.paging_offset
    removed: int = vm_pager_remove(vm, pager, start + base, end + base)
    if removed:
        vm.point(FORGOTTEN, pack(removed, object.slot, start >> vm.page_shift))
    if removed and not vm_pager_count(vm, pager):
        drop_pager(vm, object)
    return removed


@contract
def drop_pager(vm: Vm, object: VmObject) -> None:
    """Part with an unnamed, idle pager.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager, swap map, pool, channel, I/O list.
    Sleeps: never.
    """
    pager = vm.pagers(object.pager)
    object.pager = object.paging_offset = 0
    vm_pager_deallocate(vm, pager)
