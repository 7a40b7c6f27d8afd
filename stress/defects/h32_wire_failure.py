"""H32: a page that cannot be wired is passed over, and the range says that it is wired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import KERN_SUCCESS, VM_PROT_NONE
from vmcore.fault import vm_fault
from vmcore.structs import VmMap

if TYPE_CHECKING:
    from vmcore.vm import Vm


def vm_fault_wire(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """As the repaired step, but nobody looks at what a fault has answered.

    Enter:  map read-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (busy pages, page-in, memory; never behind a queued writer).
    """
    for va in range(start, end, vm.page_size):
        vm_fault(vm, map, va, VM_PROT_NONE, True)
    return int(KERN_SUCCESS)


defect = Defect(
    id="H32",
    name="wire-failure",
    origin="documented",
    quote="vm_fault_wire must not ignore the errors of its faults, but undo what was wired and say so",
    interleaving=(
        "P: wires a mapping that reaches beyond the end of its file: the entry counts the wiring",
        "the fault on a page behind the end is refused; nobody looks",
        "P: unwires the range: a page of a wired entry is not there",
    ),
    symptom="an unwiring, an unmap or an exit panics for want of a wired page",
    verdicts=("invariant_violation", "panic"),
    scenario="refusals",
    replacements={"vmcore.fault_wire.vm_fault_wire": vm_fault_wire},
)
