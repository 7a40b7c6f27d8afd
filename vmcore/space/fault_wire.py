"""Wiring the pages of a range: a fault for each that also counts the wiring.

The caller holds the map's read lock the whole time, so that no thread changes the map; the faults
take it again, past every queued writer.  A fault that queued behind a writer would wait for a
thread that waits for its own caller.  The owner of a page that it needs looks at the map before
it gives the page up, and therefore passes queued writers too.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import KERN_SUCCESS, VM_PROT_NONE
from vmcore.fault.fault import vm_fault
from vmcore.map.unwire import vm_fault_unwire
from vmcore.structs import VmMap
from vmcore.vm import Vm


@contract
def vm_fault_wire(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """Make every page of the range resident, mapped and wired; a KERN_* result.

    After an error nothing of the range is wired: to go on would leave an entry that says
    wired and a page that is not there, and its unwiring would be fatal.

    Source: Mach vm/vm_fault.c, vm_fault_wire.
    Enter:  map read-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (busy pages, page-in, memory; never behind a queued writer).
    """
    for va in range(start, end, vm.page_size):
        result = vm_fault(vm, map, va, VM_PROT_NONE, True)
        if result != KERN_SUCCESS:
            vm_fault_unwire(vm, map, start, va)
            return result
    return int(KERN_SUCCESS)
