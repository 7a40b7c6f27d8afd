"""L24: a copy-on-write fault puts the page that it has copied on the inactive queue, wired or not."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import VM_PROT_READ
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map
from vmcore.structs import VmPage
from vmcore.vm import Vm


def vm_page_deactivate(vm: Vm, page: VmPage) -> None:
    """As the repaired step, without the test for wired pages.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    wirings = page.wire_count
    page.wire_count = 0  # what the repaired step tests; no other thread looks while we have the queue lock
    original("page_queues.vm_page_deactivate")(vm, page)
    page.wire_count = wirings


def scene(scene: Scene) -> None:
    """P and its child C share B copy-on-write; P's entry is read-only and wired."""
    vm = scene.vm
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.fork("P", "C")
    of_parent, end = space_map(vm, scene.space("P")), BASE + vm.page_size
    vm_map_protect(vm, of_parent, BASE, end, VM_PROT_READ)
    vm_map_pageable(vm, of_parent, BASE, end, True)


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.write("C", 0, 2)},
    cues=(("F", "exit fault_copy.leave_source(B)"),),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L24",
    name="wired-cow-source-deactivated",
    origin="reconstructed",
    quote="since deactivate takes pages that are on no queue it takes wired ones, too",
    interleaving=(
        "parent and child share B copy-on-write; the parent's entry is read-only and wired: so is page m",
        "child: stores to m: copies it and deactivates m: a wired page is on the inactive queue",
        "D: frees m, or writes it out, and removes the parent's wired mapping",
        "parent: unwires m: it is on a queue already, or is not mapped any more",
    ),
    symptom="wired pages that are paged out; unwiring them is fatal",
    verdicts=("invariant_violation", "panic"),
    scenario="wire-storm",
    replacements={"page_queues.vm_page_deactivate": vm_page_deactivate},
    script=script,
)
