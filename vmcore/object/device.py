"""Devices as memory objects: the one object of a device, found or made.

A file of its own beside device_pager.py, because finding the object needs the object
cache, which needs the pagers' other half.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_INTERNAL, PG_DEVICE
from vmcore.object.object import vm_object_allocate, vm_object_setpager
from vmcore.object.object_cache import vm_object_enter, vm_object_lookup
from vmcore.structs import Device, Pager, VmObject
from vmcore.vm import Vm


@contract
def device_pager_alloc(vm: Vm, device: Device, size: int) -> VmObject | None:
    """The device's object, at least this large, with one reference for the caller.

    None when records have run out.  "Look, and if there is none, create" is one step under
    the handle lock: two creators would both enter an object, and the loser would have to
    take its own out of the hash again, where others may have found it.  A pager without a
    findable object is dying; its terminator needs the handle lock, so we let go of it to sleep.

    Source: Mach vm/device_pager.c, device_pager_alloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  device handle, cache, object, pager, pool, object list, channel.
    Sleeps: yes (the handle lock; a dying pager).
    """
    while True:
        vm.device_lock.acquire()
        reference = device.pager
        object = vm_object_lookup(vm, vm.pagers(reference)) if reference else make_object(vm, device)
        if object is not None:
            grow_object(vm, object, size)
        if object is not None or not reference:
            vm.device_lock.release()
            return object
        device.chan.sleep(vm.device_lock, "devdying", until=(device, "pager", "!=", reference))


@contract
def make_object(vm: Vm, device: Device) -> VmObject | None:
    """A new object of no size and pager for the device, findable when we return.

    Enter:  vm.device_lock locked.
    Exit:   same.
    Takes:  cache, object, pager, pool, object list.
    Sleeps: never.
    """
    pager: Pager | None = vm.pagers.allocate()
    if pager is None:
        return None
    object = vm_object_allocate(vm, 0)
    if object is None:
        vm.pagers.free(pager)
        return None
    pager.pg_type, pager.pg_handle = PG_DEVICE, device.slot  # the pool has zeroed every other field
    object.lock.acquire()  # no other thread can reach it yet
    object.flags &= ~OBJ_INTERNAL
    vm_object_setpager(vm, object, pager, 0)
    object.lock.release()
    vm_object_enter(vm, object, pager)
    device.pager = vm.pagers.ref(pager)
    return object


@contract
def grow_object(vm: Vm, object: VmObject, size: int) -> None:  # noqa: ARG001
    """The object of a device reaches as far as the device was ever mapped, not to its end.

    Enter:  vm.device_lock locked; object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    object.size = max(object.size, size)
    object.lock.release()
