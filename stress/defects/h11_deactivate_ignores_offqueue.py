"""H11: deactivate does nothing for a page that is on no queue."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE
from vmcore.structs import VmPage
from vmcore.vm import Vm


def vm_page_deactivate(vm: Vm, page: VmPage) -> None:
    """As the repaired step, for active pages only.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    if page.flags_p & PG_ACTIVE:
        original("page_queues.vm_page_deactivate")(vm, page)


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, which has the only page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.write("P", 0, 2)},
    cues=(("F", "exit fault_copy.leave_source(B)"),),
    check=lambda scene: scene.expect("Q", 0, 1),
)

defect = Defect(
    id="H11",
    name="deactivate-ignores-offqueue",
    origin="documented",
    quote="the page that a fault works on is on no queue, so deactivating it afterwards did nothing",
    interleaving=(
        "F: a write fault finds page m of B below the top object: off its queue, BUSY   [B]",
        "F: copies m to its own page and deactivates m: it is not on the active queue, so nothing happens",
        "F: wakes m: it is resident, not busy, not wired, and on no queue",
    ),
    symptom="a creeping loss of memory that can be paged out, a page at a time, until a fault is refused",
    verdicts=("invariant_violation", "panic"),
    scenario="fork-storm",
    replacements={"page_queues.vm_page_deactivate": vm_page_deactivate},
    script=script,
)
