"""Overlay: absorb a backing object that has no other user.

Pages move up by renaming, the pager is handed over or emptied page by page, and the
backing object disappears.  Reading pages in drops both locks, so while it runs

* backing is FADING: no other thread starts to join with it;
* object is COLLAPSING: it may gain and lose users, but is neither bypassed nor absorbed,
  so backing cannot gain a reference and ``object.shadow`` cannot change;
* the caller's reference keeps object alive.

Failing half-way is always safe: a page that moved up lies where every lookup through
object expects it, and no thread reaches backing but through object.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    OBJ_COLLAPSING,
    OBJ_DYING,
    OBJ_FADING,
    PG_CLEAN,
    PG_FAKE,
    PG_INACTIVE,
    PG_LAUNDRY,
    VM_PAGER_OK,
    VM_PROT_NONE,
)
from vmcore.object.object import adopt_pager, object_list_remove, shadow_past, unlink_shadower
from vmcore.object.object_pager import drop_pager, next_in_pager, object_holds, remove_from_pager
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import object_pages, vm_page_alloc, vm_page_free, vm_page_rename
from vmcore.page.page_flags import clear_flags_o, set_flags_o, set_flags_p
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.page_wait import FREE_PAGE, RELEASE_PAGE, page_wakeup
from vmcore.pager.pager import vm_pager_get_pages
from vmcore.pmap.pmap import pmap_clear_modify, pmap_page_protect
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def overlay(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> tuple[bool, bool]:
    """Merge backing into object; (done, was object's lock dropped).

    Source: NetBSD vm/vm_object.c (1997), vm_object_overlay.
    Enter:  object, backing locked (backing has one reference: ours).
    Exit:   object locked (backing freed, or unlocked if it could not be done).
    Takes:  any.
    Sleeps: yes (page-in, with neither lock held).
    """
    mark(vm, object, backing)
    trim_pager(vm, object, backing)
    slept = False
    while True:
        drain_resident(vm, object, backing)
        offset = hand_over_or_next(vm, object, backing)
        if offset is None:
            return dispose_of_backing(vm, object, backing), slept
        slept = True
        # After a page-in everything is drained again: while the locks were down a fault
        # may have brought in another page of backing, or given object a pager.
        if not page_in_one(vm, object, backing, offset, mypip):
            abandon(vm, object, backing)
            return False, slept


@contract
def mark(vm: Vm, object: VmObject, backing: VmObject) -> None:  # noqa: ARG001
    """Tell every thread to leave the pair alone.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    backing.flags |= OBJ_FADING
    object.flags |= OBJ_COLLAPSING


@contract
def abandon(vm: Vm, object: VmObject, backing: VmObject) -> None:  # noqa: ARG001
    """Give up: the pair is as collapsible as before, for the next caller.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  nothing.
    Sleeps: never.
    """
    object.flags &= ~OBJ_COLLAPSING
    backing.flags &= ~OBJ_FADING
    backing.lock.release()


@contract
def trim_pager(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Drop from backing's pager what object cannot see: outside its window, or hidden.

    A hidden page left in the pager would come up as a stale slot under object's own
    page when the pager is handed over.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    low = object.shadow_offset
    high = low + object.size
    remove_from_pager(vm, backing, 0, low)
    remove_from_pager(vm, backing, high, backing.size)
    offset = next_in_pager(vm, backing, low)
    while offset is not None:
        if object_holds(vm, object, offset - low):
            remove_from_pager(vm, backing, offset, offset + vm.page_size)
        offset = next_in_pager(vm, backing, offset + vm.page_size)


@contract
def drain_resident(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Empty backing of resident pages: each moves up, or is hidden and goes.

    None is busy, because no thread pages on backing.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    low, size = object.shadow_offset, object.size
    for page in object_pages(vm, backing):
        offset = page.offset
        x = offset - low
        if not 0 <= x < size or object_holds(vm, object, x):
            pmap_page_protect(vm, page, VM_PROT_NONE)
            vm.page_queue_lock.acquire()
            vm_page_free(vm, page)
            vm.page_queue_lock.release()
            remove_from_pager(vm, backing, offset, offset + vm.page_size)
        else:
            move_up(vm, object, backing, page, x)


@contract
def move_up(vm: Vm, object: VmObject, backing: VmObject, page: VmPage, offset: int) -> None:
    """Rename one page of backing to (object, offset).

    If object has a pager of its own, backing's swap copy goes, and the page is dirty
    again: its data must reach *our* pager.  A dirty inactive page needs LAUNDRY, or
    the daemon takes it for one that is being washed and never writes it.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    if object.pager and remove_from_pager(vm, backing, page.offset, page.offset + vm.page_size):
        vm.page_queue_lock.acquire()
        clear_flags_o(vm, page, PG_CLEAN)
        if page.flags_p & PG_INACTIVE:
            set_flags_p(vm, page, PG_LAUNDRY)
        vm.page_queue_lock.release()
    vm_page_rename(vm, page, object, offset)


@contract
def hand_over_or_next(vm: Vm, object: VmObject, backing: VmObject) -> int | None:
    """Deal with backing's pager; the offset of a page to read in, or None: nothing left.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    if not backing.pager:
        return None
    low = object.shadow_offset
    if not object.pager:
        object.pager = backing.pager
        object.paging_offset = backing.paging_offset + low
        backing.pager = backing.paging_offset = 0
        adopt_pager(vm, object, vm.pagers(object.pager))
        return None
    offset = next_in_pager(vm, backing, 0)
    while offset is not None:
        if not object_holds(vm, object, offset - low):
            return offset
        remove_from_pager(vm, backing, offset, offset + vm.page_size)
        offset = next_in_pager(vm, backing, offset + vm.page_size)
    if backing.pager:
        drop_pager(vm, backing)  # even if it never held a page: no other thread would free it
    return None


@contract
def page_in_one(vm: Vm, object: VmObject, backing: VmObject, offset: int, mypip: int) -> bool:
    """Read one page of backing's pager into backing; False: no memory, error, or disturbed.

    Never waits for memory: the caller may be the daemon, which alone frees any.

    Enter:  object, backing locked.
    Exit:   same (both dropped in between).
    Takes:  any.
    Sleeps: yes (the read).
    """
    page = vm_page_alloc(vm, backing, offset)
    if page is None:
        return False
    vm_object_paging_begin(vm, backing)
    result = read_unlocked(vm, object, backing, page)
    vm_object_paging_end(vm, backing)
    if result != VM_PAGER_OK:
        FREE_PAGE(vm, page)
        return False
    clear_flags_o(vm, page, PG_FAKE)
    set_flags_o(vm, page, PG_CLEAN)
    pmap_clear_modify(vm, page)
    if revalidate(vm, object, backing, mypip):
        RELEASE_PAGE(vm, page)
        return True
    leave_behind(vm, page)
    return False


@contract
def read_unlocked(vm: Vm, object: VmObject, backing: VmObject, page: VmPage) -> int:
    """Ask backing's pager for the page, with neither object locked; a VM_PAGER code.

    Enter:  object, backing locked (the page is ours, backing's paging count has one of ours).
    Exit:   same (both dropped in between).
    Takes:  any.
    Sleeps: yes (the read).
    """
    pager = vm.pagers(backing.pager)
    backing.lock.release()
    object.lock.release()
    result: int = vm_pager_get_pages(vm, pager, page, True)
    lock_pair_again(vm, object, backing)
    return result


@contract
def lock_pair_again(vm: Vm, object: VmObject, backing: VmObject) -> None:  # noqa: ARG001
    """Lock both again, top down as every thread does: a fault may hold object and wait for backing.

    Enter:  object, backing unlocked.
    Exit:   object, backing locked.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    backing.lock.acquire()


@contract
def leave_behind(vm: Vm, page: VmPage) -> None:
    """Give up a page that was read in for nothing: on a queue, or it could never be paged out again.

    Enter:  anything (the page's object is locked, the page is ours).
    Exit:   same.
    Takes:  page queues, pv, pmap, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()


@contract
def revalidate(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> bool:
    """After the locks were down: is the pair still ours to join?

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if vm.objects(object.shadow) is not backing:
        raise panic(f"object {object.slot} was re-pointed while it collapsed", object)
    quiet = backing.paging_in_progress == 0 and object.paging_in_progress <= mypip
    return bool(backing.ref_count == 1 and quiet)


@contract
def dispose_of_backing(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """Re-link object to what backing shadowed, and free the empty backing object.

    Backing's reference on the grand object moves to object, so no count changes there.
    If the grand object got a copy-object meanwhile we stop: that can happen, and is no error.
    No thread can be queued on backing's lock: faults reach it only through object, the
    daemon and the candidate step only by try-lock while a page or a link of it exists.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  object, object list, pool.
    Sleeps: never.
    """
    grand = vm.objects(backing.shadow) if backing.shadow else None
    if grand is not None:
        grand.lock.acquire()
        if grand.copy:
            grand.lock.release()
            abandon(vm, object, backing)
            return False
    inherit_shadow(vm, object, backing, grand)
    if backing.ref_count != 1 or backing.resident_page_count or backing.pager:
        raise panic(f"object {backing.slot} is not empty at the end of an overlay", backing)
    free_absorbed(vm, object, backing)
    return True


@contract
def inherit_shadow(vm: Vm, object: VmObject, backing: VmObject, grand: VmObject | None) -> None:
    """Let object shadow what backing shadowed, with the reference that backing had on it.

    Enter:  object, backing, grand locked.
    Exit:   object, backing locked.
    Takes:  nothing.
    Sleeps: never.
    """
    if grand is not None:
        unlink_shadower(vm, backing, grand)
    shadow_past(vm, object, backing, grand)
    clear_shadow(vm, backing, grand)


@contract
def clear_shadow(vm: Vm, backing: VmObject, grand: VmObject | None) -> None:  # noqa: ARG001
    """Backing is the last of its chain now, and grand can be let go.

    Enter:  backing, grand locked.
    Exit:   backing locked.
    Takes:  nothing.
    Sleeps: never.
    """
    backing.shadow = 0
    if grand is not None:
        grand.lock.release()


@contract
def free_absorbed(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """The collapse is done: free the empty backing object, to which nothing points.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  object list, pool.
    Sleeps: never.
    """
    backing.ref_count = 0
    backing.flags |= OBJ_DYING
    object.flags &= ~OBJ_COLLAPSING
    backing.lock.release()
    object_list_remove(vm, backing)
    vm.objects.free(backing)
    vm.me.stats.object_collapses += 1
