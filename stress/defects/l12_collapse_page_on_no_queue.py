"""L12: a page that collapse has read in for nothing is left on no queue."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.page_wait import page_wakeup
from vmcore.structs import VmPage
from vmcore.vm import Vm


def leave_behind(vm: Vm, page: VmPage) -> None:
    """As the repaired step, without a queue.

    Enter:  anything.
    Exit:   same.
    Takes:  page queues, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm.page_queue_lock.release()


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B's page 0 and O's page 1 are in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "F": lambda scene: scene.expect("P", 1, 2)},
    cues=(
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("F", "start"),
        ("F", "enter fault_search.page_in(O)"),
        ("A", "io swap_read"),
        ("A", "end"),  # disturbed
        ("F", "enter pager.vm_pager_get_pages"),
    ),
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="L12",
    name="collapse-page-on-no-queue",
    origin="reconstructed",
    quote="the page brought in by overlay is never activated",
    interleaving=(
        "A: overlay(O, B) reads a page of B's pager into B, with both unlocked   []",
        "F: a fault on O begins to page meanwhile",
        "A: looks again: disturbed; wakes the page and gives up",
        "the page is resident, not busy, not wired, and on no queue: the daemon never meets it again",
    ),
    symptom="memory that can never be paged out, a page at a time",
    verdicts=("invariant_violation",),
    scenario="fork-storm",
    options={"workers": 8, "disk_ms": 3.0, "pages": 56, "checked": True},
    replacements={"overlay.leave_behind": leave_behind},
    script=script,
    notes=(
        "The page of a read that was in vain, only.  After one that was not, R queues the page before the "
        "overlay moves it up; the old code left that one on no queue as well, until its next fault."
    ),
)
