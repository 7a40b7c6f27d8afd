"""Named swap objects: anonymous memory that unrelated processes find by a number.

The handle lock makes "look, and if there is none, create" one step, so a name never has
two pagers.  Its order is that of a vnode lock: below the maps, above the object cache.

A named object is not INTERNAL.  It has a pager from birth, is hashed by it, and no thread
may move that pager: collapse leaves such objects alone, and a copy of one gets a
copy-object (its sharers go on without a shadow).  Unlike a file's object it may not persist:
the cache could only lose its contents, so they last as long as a process maps them.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_CANPERSIST, OBJ_INTERNAL
from vmcore.object.object import vm_object_allocate, vm_object_setpager
from vmcore.object.object_cache import vm_object_enter, vm_object_lookup
from vmcore.pager.named_list import enter_named, find_named
from vmcore.pager.swap import swap_pager_alloc
from vmcore.structs import VmObject
from vmcore.vm import Vm


@contract
def swap_pager_named(vm: Vm, name: int, size: int) -> VmObject | None:
    """The object of this name with one reference for the caller; None when records have run out.

    The first caller's ``size`` is the object's for good.  A pager without a findable
    object belongs to one that is being terminated: its terminator needs the handle
    lock, so we sleep without it and start over.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_alloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  handle, cache, object, pager, pool, object list, channel.
    Sleeps: yes (the handle lock; a dying pager).
    """
    while True:
        vm.handle_lock.acquire()
        pager = find_named(vm, name)
        if pager is None:
            made = make_named(vm, name, size)
            vm.handle_lock.release()
            return made
        object = vm_object_lookup(vm, pager)
        if object is not None:
            vm.handle_lock.release()
            return object
        vm.named_chan.sleep(vm.handle_lock, "swpdying", until=(pager, "is_named", 0))


@contract
def make_named(vm: Vm, name: int, size: int) -> VmObject | None:
    """A new pager of this name with its object, findable when we return.

    Enter:  vm.handle_lock locked.
    Exit:   same.
    Takes:  cache, object, pager, pool, object list.
    Sleeps: never.
    """
    pager = swap_pager_alloc(vm, size)
    if pager is None:
        return None
    object = vm_object_allocate(vm, pager.sw_osize)
    if object is None:
        vm.pagers.free(pager)
        return None
    pager.pg_handle = name
    object.lock.acquire()  # no other thread can reach it yet
    object.flags &= ~OBJ_INTERNAL
    vm_object_setpager(vm, object, pager, 0)
    object.lock.release()
    vm_object_enter(vm, object, pager)
    object.lock.acquire()
    object.flags &= ~OBJ_CANPERSIST  # what vm_object_enter gives to every object with a name
    object.lock.release()
    enter_named(vm, pager)
    return object
