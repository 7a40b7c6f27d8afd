"""H25: the daemon, about to write a page, collapses first, and waits for paging that it must end."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.collapse import vm_object_collapse
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def put(vm: Vm, pages: list[VmPage], object: VmObject) -> int:
    """As the repaired step, but the object may inherit a pager first; the paging count has one of ours.

    Enter:  object locked; vm.page_queue_lock unlocked.
    Exit:   object unlocked; vm.page_queue_lock unlocked.
    Takes:  any.
    Sleeps: yes (a file's write; and for paging counts).
    """
    if not object.pager:
        vm_object_collapse(vm, object, True, 1)
    result: int = original("pageout_page.put")(vm, pages, object)
    return result


def scene(scene: Scene) -> None:
    """P's O shadows B; O's page is the first on the inactive queue."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.age("O")
    scene.map("W", pages=64)


def write_and_fill(scene: Scene) -> None:
    """Begin to write B's page; then frames become short."""
    scene.clean("B", sync=False)
    scene.fill("W")


script = Script(
    scene=scene,
    roles={"A": write_and_fill},
    cues=(
        ("A", "end"),
        ("pageout", "enter pageout.vm_pageout_scan"),
        ("pageout", "enter pageout_page.put"),  # it has reaped what was done before
        ("disk", "io swap_write"),
    ),
    pages=32,
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="H25",
    name="daemon-waits-for-itself",
    origin="documented",
    quote="the page-out daemon may come to collapse, which must not wait there: some waits only it ends",
    interleaving=(
        "O shadows B, for which an asynchronous write is in flight: B's paging count is 1",
        "D: page-out of a page of O: no pager: collapses O first, waits for B's paging count   []",
        "the disk finishes the write; the record is done, and its paging count waits to be reaped",
        "only D reaps: D waits for D, and every process that needs memory for D",
    ),
    symptom="the whole system hangs at the next shortage of memory",
    verdicts=("self_deadlock", "deadlock", "lost_wakeup"),
    scenario="clip-and-fork",
    replacements={"pageout_page.put": put},
    script=script,
)
