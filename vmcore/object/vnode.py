"""Files as memory objects: the one object of a vnode, found or made.

A file of its own beside vnode_pager.py, because finding the object needs the object
cache, which needs the pagers' other half.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_INTERNAL, PG_VNODE
from vmcore.object.object import vm_object_allocate, vm_object_setpager
from vmcore.object.object_cache import vm_object_enter, vm_object_lookup
from vmcore.structs import Pager, VmObject, Vnode
from vmcore.vm import Vm


@contract
def vnode_pager_alloc(vm: Vm, vnode: Vnode) -> VmObject | None:
    """The file's object, with one reference for the caller; None when records have run out.

    A vnode whose pager has no findable object belongs to an object that is being
    terminated.  Its terminator needs the vnode lock, to write pages and to part with
    the vnode, so we sleep without it and start over.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_alloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode, cache, object, pager, pool, object list, channel.
    Sleeps: yes (the vnode lock; a dying pager).
    """
    while True:
        vnode.lock.acquire()
        reference = vnode.v_vmdata
        if not reference:
            object = make_object(vm, vnode)
            vnode.lock.release()
            return object
        object = vm_object_lookup(vm, vm.pagers(reference))
        if object is not None:
            vnode.lock.release()
            return object
        vnode.chan.sleep(vnode.lock, "vnpdying", until=(vnode, "v_vmdata", "!=", reference))


@contract
def make_object(vm: Vm, vnode: Vnode) -> VmObject | None:
    """A new object and pager for the file, findable when we return.

    Enter:  vnode locked.
    Exit:   same.
    Takes:  cache, object, pager, pool, object list.
    Sleeps: never.
    """
    pager: Pager | None = vm.pagers.allocate()
    if pager is None:
        return None
    size = -(-vnode.v_size // vm.page_size) * vm.page_size
    object = vm_object_allocate(vm, size)
    if object is None:
        vm.pagers.free(pager)
        return None
    pager.pg_type, pager.pg_handle = PG_VNODE, vm.vnodes.ref(vnode)
    pager.pg_object = pager.sw_cnt = pager.sw_poip = pager.sw_first = 0
    pager.sw_osize, pager.sw_bsize = size, 1
    pager.vnp_size, pager.vnp_resizing = vnode.v_size, 0
    vnode.v_usecount += 1
    introduce(vm, object, pager)
    vnode.v_vmdata = vm.pagers.ref(pager)
    return object


@contract
def introduce(vm: Vm, object: VmObject, pager: Pager) -> None:
    """Make the new object and its pager known to each other, then to lookups.

    Enter:  object unlocked (no other thread can reach it yet).
    Exit:   same.
    Takes:  cache, object, pager.
    Sleeps: never.
    """
    install_in_new(vm, object, pager)
    vm_object_enter(vm, object, pager)


@contract
def install_in_new(vm: Vm, object: VmObject, pager: Pager) -> None:
    """Turn a new object into one of a file, by its pager.

    Enter:  object unlocked (no other thread can reach it yet).
    Exit:   same.
    Takes:  object, pager.
    Sleeps: never.
    """
    object.lock.acquire()
    object.flags &= ~OBJ_INTERNAL
    vm_object_setpager(vm, object, pager, 0)
    object.lock.release()
