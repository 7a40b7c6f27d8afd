"""Mapping an object that has its pager already, and mapping named memory.

The pager comes first.  An object that is in a map can be faulted on at once, by another
thread of the space; without its pager the fault would find nothing, fill a page with
zeros, and that page would hide the pager's for ever.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_INVALID_ARGUMENT,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
)
from vmcore.map.map import vm_map_insert, vm_map_unlock_and_release
from vmcore.map.map_place import place_object
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import vm_object_lookup
from vmcore.object.pager_named import swap_pager_named
from vmcore.space.map_user import require_pager, require_pages
from vmcore.structs import Pager, VmMap, VmObject
from vmcore.vm import Vm, release_later
from vmcore.vm_error import VmError


@contract
def vm_allocate_with_pager(
    vm: Vm,
    map: VmMap,
    pager: Pager,
    size: int,
    offset: int = 0,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
) -> int:
    """Map the object of a pager, shared, and return the address; VmError when it cannot be done.

    The caller keeps the pager alive (a reference on its object will do).

    Source: Mach vm/vm_user.c, vm_allocate_with_pager.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    require_pages(vm, "vm_allocate_with_pager", size, offset, address or 0)
    object = vm_object_lookup(vm, pager)
    if object is None:
        raise VmError("vm_allocate_with_pager: the pager has no object", KERN_INVALID_ARGUMENT)
    return map_object(vm, map, object, size, offset, address, protection)


@contract
def vm_map_named(
    vm: Vm,
    map: VmMap,
    name: int,
    size: int,
    offset: int = 0,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
) -> int:
    """Map the memory of this name, shared, and return the address; VmError when it cannot be done.

    The first mapping of a name makes its memory, ``offset + size`` bytes large; later mappings must
    lie within.  The memory lasts as long as a process maps it.

    Source: 4.4BSD vm/vm_mmap.c, vm_mmap (MAP_ANON with a handle).
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a dying pager of the same name; map lock; terminations).
    """
    require_pages(vm, "vm_map_named", size, offset, address or 0)
    if name <= 0 or size <= 0 or offset < 0:
        raise VmError(f"vm_map_named: name {name}, size {size}, offset {offset}", KERN_INVALID_ARGUMENT)
    object = swap_pager_named(vm, name, offset + size)  # with a reference; before the map is locked
    if object is None:
        raise VmError("vm_map_named", KERN_RESOURCE_SHORTAGE)
    object.lock.acquire()
    beyond = offset + size > object.size
    object.lock.release()
    if beyond:
        vm_object_deallocate(vm, object)
        raise VmError(f"vm_map_named: beyond the end of name {name}", KERN_INVALID_ARGUMENT)
    return map_object(vm, map, object, size, offset, address, protection)


@contract
def map_object(
    vm: Vm, map: VmMap, object: VmObject, size: int, offset: int, address: int | None, protection: int
) -> int:
    """Insert a named object, shared; consumes the caller's reference, whatever comes of it.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    require_pager(object)
    map.lock.write()
    map.timestamp += 1
    code, start, shares = place_object(vm, map, object, offset, size, address)
    if code == KERN_SUCCESS:
        code = vm_map_insert(vm, map, object, offset, start, start + size, protection, VM_INHERIT_SHARE)
    if code != KERN_SUCCESS:
        release_later(vm, object, False)
    vm_map_unlock_and_release(vm, map, shares)
    if code != KERN_SUCCESS:
        raise VmError("map_object", code)
    return start
