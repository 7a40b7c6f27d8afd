"""Interposing a shadow object: the first write after a copy-on-write fork."""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_FIXED
from vmcore.object.object import vm_object_allocate, vm_object_set_shadow
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def vm_object_shadow(vm: Vm, object: VmObject | None, offset: int, length: int) -> VmObject | None:
    """A new object of this length in front of (object, offset), or None without records.

    The caller's reference on object moves: the new object owns it as its shadow link,
    and the caller owns the one reference of the new object (whose offset 0 it is).

    Source: Mach vm/vm_object.c, vm_object_shadow.
    Enter:  object unlocked (and referenced; the map is write-locked).
    Exit:   same.
    Takes:  object, object list, pool.
    Sleeps: never.
    """
    result = vm_object_allocate(vm, length)
    if result is None or object is None:
        return result
    object.lock.acquire()
    if not result.lock.try_acquire():  # ours alone: no thread can have found it yet
        raise panic(f"new object {result.slot} is locked by another thread", result)
    result.shadow_offset = offset
    result.flags |= object.flags & OBJ_FIXED  # it is mapped where that one was
    vm_object_set_shadow(vm, result, object)
    object.ref_count -= 1  # the caller's own; the link's was just added
    result.lock.release()
    object.lock.release()
    return result
