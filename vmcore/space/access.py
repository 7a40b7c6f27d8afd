"""What a program does with its memory: load or store one page.

Each is an MMU access, and while the MMU refuses, a fault and another try.  Data moves
inside the MMU's critical section, together with the rights check and the bits: a
load never sees half a store.

A failure is a ``VmFault`` with the KERN_* code: INVALID_ADDRESS (nothing mapped),
PROTECTION_FAILURE (rights, or the pager failed), RESOURCE_SHORTAGE (memory and swap, or
records, ran out).
"""

from __future__ import annotations

from vmcore.constants import KERN_SUCCESS, VM_PROT_READ, VM_PROT_WRITE
from vmcore.fault.fault import vm_fault
from vmcore.pmap.mmu import access
from vmcore.structs import Vmspace
from vmcore.vm import Vm
from vmcore.vm_error import VmFault


def vm_read(vm: Vm, space: Vmspace, va: int) -> bytes:
    """The whole page at va."""
    pmap = vm.pmaps(space.pmap)
    while (data := access(vm, pmap, va, False, bytes)) is None:
        code = vm_fault(vm, vm.maps(space.map), va, VM_PROT_READ)
        if code != KERN_SUCCESS:
            raise VmFault(va, False, code)
    result: bytes = data
    return result


def vm_write(vm: Vm, space: Vmspace, va: int, data: bytes) -> None:
    """Store one whole page at va."""
    pmap = vm.pmaps(space.pmap)

    def store(frame: memoryview) -> bool:
        frame[:] = data
        return True

    while access(vm, pmap, va, True, store) is None:
        code = vm_fault(vm, vm.maps(space.map), va, VM_PROT_WRITE)
        if code != KERN_SUCCESS:
            raise VmFault(va, True, code)
