"""Resident pages: the frames, the hash from (object, offset) to page, an object's page list.

A page's slot number is its frame number.  ``object`` and ``offset`` change only under
both the object lock and the queue lock, so either is enough to read them.
``vm_page_remove`` never clears ``object``: another thread may still hold the page by name.

Allocation never sleeps.  None means that the free list is down to the reserve; the
caller lets go of everything and asks ``VM_WAIT``.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    BUCKET_LOCKS,
    HASH_SPREAD,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_FREE,
    PG_INACTIVE,
    PG_TABLED,
    PG_WANTED,
)
from vmcore.page.page_queues import page_dequeue
from vmcore.page.vm_wait import wake_daemon
from vmcore.page_events import COPIED, ENTERS, LEAVES, NUMBER_AT, SLOTS, ZEROED, pack
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import a_page, panic

FLAGS_O: int = VmPage.flags_o.offset
FRESH = PG_BUSY | PG_CLEAN | PG_FAKE


# --- the hash and the object's list


@contract
def vm_page_lookup(vm: Vm, object: VmObject, offset: int) -> VmPage | None:
    """The resident page at this offset of the object, if there is one.

    Source: Mach vm/vm_resident.c, vm_page_lookup.
    Enter:  object locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    number = object.slot
    reference = object.generation << 32 | number
    views = vm.pages.views
    bucket = (number * HASH_SPREAD + (offset >> vm.page_shift)) & vm.hash_mask
    lock = vm.bucket_locks[bucket % BUCKET_LOCKS]
    lock.acquire()
    slot = vm.heads[bucket]
    while slot:
        page: VmPage = views[slot]
        if page.offset == offset and page.object == reference:
            lock.release()
            return page
        slot = page.hashq_next
    lock.release()
    return None


@contract
def vm_page_insert(vm: Vm, page: VmPage, object: VmObject, offset: int) -> None:
    """Give the page its identity: hash, object's list, TABLED.

    Source: Mach vm/vm_resident.c, vm_page_insert.
    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    flags, slot, number = page.flags_o, page.slot, object.slot
    if flags & PG_TABLED:
        raise panic(f"vm_page_insert: page {slot} is already in an object", a_page(slot))
    page.object = object.generation << 32 | number
    page.offset = offset
    bucket = (number * HASH_SPREAD + (offset >> vm.page_shift)) & vm.hash_mask
    heads = vm.heads
    lock = vm.bucket_locks[bucket % BUCKET_LOCKS]
    lock.acquire()
    page.hashq_next = heads[bucket]
    heads[bucket] = slot
    lock.release()
    last = object.memq_last
    page.listq_prev = last
    page.listq_next = 0
    if last:
        vm.pages.views[last].listq_next = slot
    else:
        object.memq_first = slot
    object.memq_last = slot
    object.resident_page_count += 1
    page.flags_o = flags | PG_TABLED
    # pack(), spelled out: this is on the way of every fault
    vm.point(ENTERS, slot | number << SLOTS | offset >> vm.page_shift << NUMBER_AT)


@contract
def vm_page_remove(vm: Vm, page: VmPage) -> None:
    """Take the page out of its object; its queue, its mappings and ``object`` stay.

    Source: Mach vm/vm_resident.c, vm_page_remove.
    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    flags = page.flags_o
    if not flags & PG_TABLED:
        return
    views = vm.pages.views
    object = vm.objects(page.object)
    leave_bucket(vm, page, object.slot)
    following, previous = page.listq_next, page.listq_prev
    if following:
        views[following].listq_prev = previous
    else:
        object.memq_last = previous
    if previous:
        views[previous].listq_next = following
    else:
        object.memq_first = following
    object.resident_page_count -= 1
    page.flags_o = flags & ~PG_TABLED
    vm.point(LEAVES, pack(page.slot, object.slot, page.offset >> vm.page_shift))


@contract
def leave_bucket(vm: Vm, page: VmPage, number: int) -> None:
    """Unlink the page from its hash chain.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    views, heads, slot = vm.pages.views, vm.heads, page.slot
    bucket = (number * HASH_SPREAD + (page.offset >> vm.page_shift)) & vm.hash_mask
    lock = vm.bucket_locks[bucket % BUCKET_LOCKS]
    lock.acquire()
    at = heads[bucket]
    if at == slot:
        heads[bucket] = page.hashq_next
    else:
        while at and views[at].hashq_next != slot:
            at = views[at].hashq_next
        if at:
            views[at].hashq_next = page.hashq_next
    lock.release()
    if not at:
        raise panic(f"page {slot} is TABLED, but not in its hash bucket {bucket}", a_page(slot))


@contract
def vm_page_rename(vm: Vm, page: VmPage, object: VmObject, offset: int) -> None:
    """Move the page to another object; queue, mappings and flags stay as they are.

    Source: Mach vm/vm_resident.c, vm_page_rename.
    Enter:  object locked (and the page's present object); vm.page_queue_lock unlocked.
    Exit:   same.
    Takes:  page queues, page hash.
    Sleeps: never.
    """
    if page.object == object.generation << 32 | object.slot:
        return
    vm.page_queue_lock.acquire()
    vm_page_remove(vm, page)
    vm_page_insert(vm, page, object, offset)
    vm.page_queue_lock.release()


def object_pages(vm: Vm, object: VmObject) -> list[VmPage]:
    """The object's resident pages as of now, insertion order; object locked."""
    views, found = vm.pages.views, []
    slot = object.memq_first
    while slot:
        page = views[slot]
        found.append(page)
        slot = page.listq_next
    return found


# --- frames


@contract
def frame_alloc(vm: Vm, reserve: int) -> VmPage | None:
    """Take a frame off the free list, unless only ``reserve`` of them are left.

    The frame is in no object and on no queue, and has old contents.

    Enter:  anything.
    Exit:   same.
    Takes:  free list.
    Sleeps: never.
    """
    g, lock = vm.g, vm.free_lock
    lock.acquire()
    count = g.v_free_count
    if count <= reserve:
        lock.release()
        return None
    slot = g.free_first
    page: VmPage = vm.pages.views[slot]
    following = page.pageq_next
    g.free_first = following
    if not following:
        g.free_last = 0
    g.v_free_count = count - 1
    page.flags_p = 0
    lock.release()
    return page


@contract
def frame_free(vm: Vm, page: VmPage) -> None:
    """Put a frame that is in no object at the tail of the free list.

    Enter:  anything.
    Exit:   same.
    Takes:  free list.
    Sleeps: never.
    """
    g, lock, slot = vm.g, vm.free_lock, page.slot
    lock.acquire()
    if page.flags_p & PG_FREE:
        lock.release()
        raise panic(f"page {slot} is freed twice", a_page(slot))
    page.flags_p = PG_FREE
    page.pageq_next = page.pageq_prev = 0
    last = g.free_last
    if last:
        vm.pages.views[last].pageq_next = slot
    else:
        g.free_first = slot
    g.free_last = slot
    g.v_free_count += 1
    lock.release()


@contract
def reserve_for(vm: Vm, object: VmObject) -> int:
    """How many frames this caller must leave on the free list.

    Without a reserve the last frames go to faulting processes, and the daemon has
    none to write anything out with: memory stays full although the swap is empty.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    g, reference = vm.g, object.generation << 32 | object.slot
    if vm.me.is_daemon or reference in (g.kernel_object, g.kmem_object):
        return 0
    return int(g.v_free_reserved)


@contract
def vm_page_alloc(vm: Vm, object: VmObject, offset: int, reserve: int = -1) -> VmPage | None:
    """A fresh page in the object: BUSY (ours, claimed), CLEAN, FAKE, on no queue.

    ``reserve`` is how many frames must stay free; without it, what this caller must leave.

    Source: Mach vm/vm_resident.c, vm_page_alloc.
    Enter:  object locked; vm.page_queue_lock unlocked.
    Exit:   same.
    Takes:  free list, page queues, page hash, pages needed, channel.
    Sleeps: never.
    """
    g = vm.g
    page = frame_alloc(vm, g.v_free_reserved if reserve < 0 else reserve)
    if page is None and reserve < 0:  # whether this caller may take the reserve is asked only when it matters
        reserve = reserve_for(vm, object)
        if reserve < g.v_free_reserved:
            page = frame_alloc(vm, reserve)
    if page is not None:
        page.flags_o = FRESH
        page.wire_count = 0
        page.pv_bits = 0
        vm.claim(page.address + FLAGS_O)
        vm.page_queue_lock.acquire()
        vm_page_insert(vm, page, object, offset)
        vm.page_queue_lock.release()
    free = g.v_free_count
    # Hints, read without their locks.  A poke that is still pending need not be repeated;
    # one that is missing here is made by the thread that then waits for memory.
    short = free < g.v_free_min or (free < g.v_free_target and g.v_inactive_count < g.v_inactive_target)
    if short and not g.pages_needed:
        wake_daemon(vm)
    return page


@contract
def vm_page_free(vm: Vm, page: VmPage) -> None:
    """Give the page back; our own BUSY goes with it, waiters must have been woken before.

    Source: Mach vm/vm_resident.c, vm_page_free.
    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  page hash, free list.
    Sleeps: never.
    """
    flags = page.flags_o
    if flags & PG_WANTED:
        raise panic(f"vm_page_free: a thread sleeps on page {page.slot}", page)
    if flags & PG_TABLED:
        vm_page_remove(vm, page)
    if page.flags_p & (PG_ACTIVE | PG_INACTIVE):
        page_dequeue(vm, page)
    if flags & PG_BUSY:
        vm.unclaim(page.address + FLAGS_O)
    page.flags_o = flags & PG_FICTITIOUS
    if page.pv_first or (page.wire_count and not flags & PG_FICTITIOUS):
        raise panic(f"vm_page_free: page {page.slot} is wired or still mapped", page)
    if flags & PG_FICTITIOUS:
        return  # its pager keeps it on a list of its own
    frame_free(vm, page)


@contract
def vm_page_zero_fill(vm: Vm, page: VmPage) -> None:
    """Fill the page with zeros; it no longer equals what a pager has.

    Source: Mach vm/vm_resident.c, vm_page_zero_fill.
    Enter:  anything (the page is busy by us, or its object is locked).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    page.flags_o &= ~PG_CLEAN
    vm.frames[page.slot][:] = vm.zeros
    vm.point(ZEROED, page.slot)


@contract
def vm_page_copy(vm: Vm, source: VmPage, target: VmPage) -> None:
    """Copy the contents; the target no longer equals what a pager has.

    Source: Mach vm/vm_resident.c, vm_page_copy.
    Enter:  anything (both pages are busy by us, or their objects are locked).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    target.flags_o &= ~PG_CLEAN
    vm.frames[target.slot][:] = vm.frames[source.slot]
    vm.point(COPIED, pack(target.slot, source.slot, 0))
