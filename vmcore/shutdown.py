"""The end of the machine: every pager gives its store back.

Only when nothing else runs: all workers are parked, the daemon and the disk workers have
left.  So the list of all objects can be copied and worked off without its lock, which must
not be held meanwhile: a termination takes the object lock first and that one after it.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.constants import OBJ_CANPERSIST, PG_DEVICE, VM_PROT_NONE
from vmcore.object.object_cache import cache_clear, vm_object_remove
from vmcore.page.page import object_pages, vm_page_free
from vmcore.pager.pager import vm_pager_deallocate
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def vm_object_shutdown(vm: Vm) -> int:
    """Empty the object cache, then part with the pager of every object; how many pagers went.

    Objects stay as they are otherwise; processes that map them may still unmap them.  What
    only a pager held is lost: files were to be synced before.

    Source: Mach vm/vm_object.c (1991), vm_object_shutdown.
    Enter:  nothing locked (no other thread runs).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the cache's objects write file pages).
    """
    vm.io_list_lock.acquire()
    daemons, record = vm.g.daemons, vm.g.inuse_first
    vm.io_list_lock.release()
    if daemons or record:
        raise Panic(f"shutdown beside {daemons} daemons, page-out record {record} in use")
    cache_clear(vm)
    gone = 0
    for object in all_objects(vm):
        pager = part_with_pager(vm, object)
        if pager is not None:
            vm_pager_deallocate(vm, pager)
            gone += 1
    return gone


@contract
def all_objects(vm: Vm) -> list[VmObject]:
    """The list of all objects as of now, for a caller that knows that it does not change.

    Enter:  vm.object_list_lock unlocked.
    Exit:   same.
    Takes:  object list.
    Sleeps: never.
    """
    found = []
    vm.object_list_lock.acquire()
    slot = vm.g.object_list_first
    while slot:
        found.append(vm.objects.views[slot])
        slot = found[-1].object_list_next
    vm.object_list_lock.release()
    return found


@contract
def part_with_pager(vm: Vm, object: VmObject) -> Pager | None:
    """Make the object forget its pager, which the caller then deallocates.

    In this order: no thread that reads ``pager`` may meet an object whose pager is gone
    already.  Its name goes with it, or a lookup would compare what is not there,
    and the last release would put an object into the cache that no thread can find again.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  cache, object, page queues, pv, pmap, pool, page hash, free list.
    Sleeps: never.
    """
    vm.cache_lock.acquire()
    object.lock.acquire()
    pager = vm.pagers(object.pager) if object.pager else None
    busy = object.paging_in_progress
    if pager is not None and not busy:
        vm_object_remove(vm, pager)
        object.flags &= ~OBJ_CANPERSIST
        if pager.pg_type == PG_DEVICE:
            free_device_pages(vm, object)
        object.pager = 0
    object.lock.release()
    vm.cache_lock.release()
    if busy:
        raise panic(f"shutdown while a thread pages on object {object.slot}", object)
    return pager


@contract
def free_device_pages(vm: Vm, object: VmObject) -> None:
    """A device's pages go back with its pager, so they cannot stay in the object.

    Enter:  object locked.
    Exit:   same.
    Takes:  page queues, pv, pmap, pool, page hash, free list.
    Sleeps: never.
    """
    for page in object_pages(vm, object):
        pmap_page_protect(vm, page, VM_PROT_NONE)
        vm.page_queue_lock.acquire()
        vm_page_free(vm, page)
        vm.page_queue_lock.release()
