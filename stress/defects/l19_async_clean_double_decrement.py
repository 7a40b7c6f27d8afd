"""L19: "it is on its way" is taken for an error, and the page is taken back under the write."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE, VM_PAGER_PEND
from vmcore.object.object_pages import mark_clean, take_back
from vmcore.page.object_paging import PIP_OFFSET, vm_object_paging_end
from vmcore.page.page import FLAGS_O
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def write_page(vm: Vm, object: VmObject, page: VmPage, sync: bool, dequeue: bool, terminating: bool) -> int:
    """As the repaired step, but a page that is on its way is clean and ours again.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the write).
    """
    result: int = original("object_pages.write_page")(vm, object, page, sync, dequeue, terminating)
    if result == VM_PAGER_PEND:
        vm.claim(page.address + FLAGS_O)  # the books of who waits for whom are with the record by now
        vm.claim(object.address + PIP_OFFSET)
        mark_clean(vm, page)
        take_back(vm, page, PG_ACTIVE, dequeue)
        vm_object_paging_end(vm, object)
    return result


def scene(scene: Scene) -> None:
    """O has a dirty page."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("O", sync=False)},
    cues=(("A", "exit object_pages.write_page(O)"), ("disk", "io swap_write")),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L19",
    name="async-clean-double-decrement",
    origin="reconstructed",
    quote="page_clean takes everything that is not zero for an error, the answer 'pending' among it",
    interleaving=(
        "A: page_clean(O), not waiting: page m is BUSY, pip 0 -> 1; put says PEND",
        "A: takes that for an error: m is CLEAN, not BUSY, pip 1 -> 0, while the disk writes",
        "D: reaps the write: clears the BUSY of the thread that owns m now, pip 0 -> 65535",
    ),
    symptom="a paging count below zero: its waiter sleeps for ever, or the count is checked",
    verdicts=("panic", "invariant_violation", "lost_wakeup", "unguarded_access"),
    scenario="shared-msync",
    replacements={"object_pages.write_page": write_page},
    script=script,
    notes=(
        "The count of a write in flight is what keeps its object alive until the write is reaped; without it "
        "the object may be freed before, and the reaper follows a link to a record that is gone."
    ),
)
