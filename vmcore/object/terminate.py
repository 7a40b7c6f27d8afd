"""The end of an object: cut its links, wait for its page-outs, free its pages.

The order is the point.  A dying object is cut out of the chain *before* the first
sleep: as long as ``shadow.copy`` named it, a writer of the shadow could find it,
revive it, and terminate it a second time.  The reference it held on its shadow is
handed to the caller instead of being decremented here, so that its release looks for
something to collapse, like any other release.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_FADING, OBJ_INTERNAL, PG_BUSY, PG_VNODE, VM_PROT_NONE
from vmcore.object.object import object_list_remove, unlink_copy, unlink_shadower
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.object_paging import vm_object_paging_wait
from vmcore.page.page import object_pages, vm_page_free
from vmcore.pager.pager import vm_pager_deallocate
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def vm_object_terminate(vm: Vm, object: VmObject) -> VmObject | None:
    """Destroy an object that no thread can find any more; return its shadow.

    The shadow comes with the reference that the object had on it.

    Source: Mach vm/vm_object.c, vm_object_terminate.
    Enter:  object locked (no references, DYING, out of the hash and of the cached list).
    Exit:   object unlocked (and gone).
    Takes:  any.
    Sleeps: yes (page-outs in flight, writes of file pages).
    """
    object.flags |= OBJ_FADING
    shadow = detach_and_drain(vm, object)
    pager = vm.pagers(object.pager) if object.pager else None
    if not object.flags & OBJ_INTERNAL and pager is not None and pager.pg_type == PG_VNODE:
        # Swap dies with the object; a file outlives it and must see the last stores.
        if not vm_object_page_clean(vm, object, 0, 0, True, True, terminating=True):
            vm.point("terminate: write error, data lost", object.slot)
        vm_object_paging_wait(vm, object)
    free_pages(vm, object)
    object.pager = 0
    unlock_terminated(vm, object)
    if pager is not None:
        vm_pager_deallocate(vm, pager)
    object_list_remove(vm, object)
    vm.objects.free(object)
    return shadow


@contract
def detach_and_drain(vm: Vm, object: VmObject) -> VmObject | None:
    """Cut the object off its shadow, then wait for its page-outs.

    Only page-outs can be inside: a fault holds a reference on the top object of its
    chain, and the paging count of the objects below keeps collapses away from them.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgw).
    """
    shadow = detach_from_shadow(vm, object)
    vm_object_paging_wait(vm, object)
    return shadow


@contract
def detach_from_shadow(vm: Vm, object: VmObject) -> VmObject | None:
    """Cut every link between the object and its shadow; the shadow, with our reference on it.

    Enter:  object locked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    shadow = vm.objects(object.shadow) if object.shadow else None
    if shadow is not None:
        shadow.lock.acquire()
        cut_links(vm, object, shadow)
        shadow.lock.release()
    return shadow


@contract
def cut_links(vm: Vm, object: VmObject, shadow: VmObject) -> None:
    """No thread can come from either of the two to the other any more; no count changes.

    Enter:  object, shadow locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    unlink_copy(vm, object, shadow)
    unlink_shadower(vm, object, shadow)
    object.shadow = 0


@contract
def unlock_terminated(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """Unlock an empty object for the last time, of whatever kind it is.

    Enter:  object locked.
    Exit:   object unlocked.
    Takes:  nothing.
    Sleeps: never.
    """
    object.lock.release()


@contract
def free_pages(vm: Vm, object: VmObject) -> None:
    """Give every page back; none can be busy, since no thread pages here.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    stats = vm.me.stats
    for page in object_pages(vm, object):
        if page.flags_o & PG_BUSY:
            raise panic(f"page {page.slot} is busy in terminating object {object.slot}", page, object)
        pmap_page_protect(vm, page, VM_PROT_NONE)
        vm.page_queue_lock.acquire()
        vm_page_free(vm, page)
        vm.page_queue_lock.release()
        stats.v_pfree += 1
