"""Mapping a device: every mapper reaches the same frames, and a store needs no page-out to arrive."""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import KERN_INVALID_ARGUMENT, KERN_RESOURCE_SHORTAGE, VM_PROT_ALL
from vmcore.object.device import device_pager_alloc
from vmcore.pager.device_pager import device_size
from vmcore.space.map_named import map_object
from vmcore.space.map_user import require_pages
from vmcore.structs import Device, VmMap
from vmcore.vm import Vm
from vmcore.vm_error import VmError


@contract
def vm_map_device(
    vm: Vm,
    map: VmMap,
    device: Device,
    size: int,
    offset: int = 0,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
) -> int:
    """Map a part of a device, shared, and return the address; VmError when it cannot be done.

    Source: 4.4BSD vm/vm_mmap.c, vm_mmap (a character device).
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a dying pager of the same device; map lock; terminations).
    """
    require_pages(vm, "vm_map_device", size, offset, address or 0)
    if size <= 0 or offset < 0 or offset + size > device_size(vm):
        raise VmError(
            f"vm_map_device: {size} bytes at {offset} of device {device.slot}", KERN_INVALID_ARGUMENT
        )
    object = device_pager_alloc(vm, device, offset + size)  # with a reference; before the map is locked
    if object is None:
        raise VmError("vm_map_device", KERN_RESOURCE_SHORTAGE)
    return map_object(vm, map, object, size, offset, address, protection)
