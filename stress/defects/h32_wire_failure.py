"""H32: a page that cannot be wired is passed over, and the range says that it is wired."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import KERN_SUCCESS, VM_PROT_NONE
from vmcore.fault.fault import vm_fault
from vmcore.space.mlock import vm_map_pageable
from vmcore.structs import VmMap
from vmcore.vm import Vm


def vm_fault_wire(vm: Vm, map: VmMap, start: int, end: int) -> int:
    """As the repaired step, but what a fault answers is ignored.

    Enter:  map read-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (busy pages, page-in, memory; never behind a queued writer).
    """
    for va in range(start, end, vm.page_size):
        vm_fault(vm, map, va, VM_PROT_NONE, True)
    return int(KERN_SUCCESS)


def scene(scene: Scene) -> None:
    """P shows a file of two pages, and has room for four."""
    scene.map_file("P", 0, "O", shared=True)


def wire(scene: Scene) -> None:
    """Wire all four; what cannot be wired is refused."""
    vm = scene.vm
    vm_map_pageable(vm, scene.region_map("P"), BASE, BASE + 4 * vm.page_size, True)


script = Script(
    scene=scene,
    roles={"P": wire},
    cues=(("P", "exit fault_wire.vm_fault_wire"),),
    files=(2,),
)

defect = Defect(
    id="H32",
    name="wire-failure",
    origin="documented",
    quote="vm_fault_wire must not ignore the errors of its faults, but undo what was wired and say so",
    interleaving=(
        "P: wires a mapping that reaches beyond the end of its file: the entry counts the wiring",
        "the fault on a page behind the end is refused; that is ignored",
        "P: unwires the range: a page of a wired entry is not there",
    ),
    symptom="an unwiring, an unmap or an exit panics for want of a wired page",
    verdicts=("invariant_violation", "panic"),
    scenario="refusals",
    replacements={"fault_wire.vm_fault_wire": vm_fault_wire},
    script=script,
)
