"""Bypass: skip a backing object that contributes nothing to what we show.

It still has other users, so it stays; we point past it.  Every page that it could
answer for, in memory or in its pager, must be hidden by a real page of ours.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_FAKE
from vmcore.object.object import shadow_past, unlink_copy
from vmcore.object.object_pager import next_in_pager, pager_holds
from vmcore.page.page import object_pages, vm_page_lookup
from vmcore.structs import VmObject
from vmcore.vm import Vm, release_later


@contract
def bypass(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """Point object past backing if it hides backing completely.

    Our reference on backing is not decremented but put on the release list as a
    shadower's: its release looks for the one shadower that may now be left.

    Source: NetBSD vm/vm_object.c (1997), vm_object_bypass.
    Enter:  object, backing locked (paging counts checked by pip_rule).
    Exit:   object locked (backing unlocked, whatever the result).
    Takes:  object, page hash, pager, swap map.
    Sleeps: never.
    """
    if not hides(vm, object, backing):
        backing.lock.release()
        return False
    grand = vm.objects(backing.shadow) if backing.shadow else None
    if grand is not None:
        grand.lock.acquire()
        grand.ref_count += 1
    shadow_past(vm, object, backing, grand)
    if grand is not None:
        grand.lock.release()
    unlink_copy(vm, object, backing)
    backing.lock.release()
    release_later(vm, backing, True)
    vm.me.stats.object_bypasses += 1
    return True


@contract
def hides(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """Is every page of backing inside our window hidden by a real page of ours?

    The window's end is exclusive: a page exactly past it is not seen.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  page hash, pager.
    Sleeps: never.
    """
    low = object.shadow_offset
    high = low + object.size
    if low == 0 and high >= backing.size and counted(vm, object) < backing.resident_page_count:
        return False  # without a walk: this is asked at every copy-on-write fault
    for page in object_pages(vm, backing):
        if low <= page.offset < high and not shows(vm, object, page.offset - low):
            return False
    offset = next_in_pager(vm, backing, low)
    while offset is not None and offset < high:
        if not shows(vm, object, offset - low):
            return False
        offset = next_in_pager(vm, backing, offset + vm.page_size)
    return True


def counted(vm: Vm, object: VmObject) -> int:
    """How many pages the object has at most, in memory and in its pager; locked."""
    swapped = vm.pagers(object.pager).sw_cnt if object.pager else 0
    return int(object.resident_page_count + swapped)


def shows(vm: Vm, object: VmObject, offset: int) -> bool:
    """Does the object itself have data here?  A fake page is only a promise."""
    page = vm_page_lookup(vm, object, offset)
    return (page is not None and not page.flags_o & PG_FAKE) or pager_holds(vm, object, offset)
