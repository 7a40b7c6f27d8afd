"""H22: taking rights away from a page needs the queue lock, which many callers hold."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmPage
from vmcore.vm import Vm


def pmap_page_protect(vm: Vm, page: VmPage, prot: int, spare_wired: bool = False) -> None:
    """As the repaired step, on a machine whose page-table pages are pages like any other.

    Enter:  anything.
    Exit:   same.
    Takes:  page queues, pv, pmap, pool.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()  # to unwire the page-table page that may become empty
    original("pmap.pmap_page_protect")(vm, page, prot, spare_wired)
    vm.page_queue_lock.release()


def scene(scene: Scene) -> None:
    """P's page is inactive and dirty."""
    scene.map("P", "O")
    scene.write("P", 0, 1)
    scene.age("O")


script = Script(
    scene=scene,
    roles={"D": lambda scene: scene.scan("O")},
    cues=(("D", "enter pageout_page.begin"),),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H22",
    name="pmap-under-queue-lock",
    origin="documented",
    quote="page_protect may unwire page-table pages, so it must not be called with the queue lock held",
    interleaving=(
        "D: the scan frees a clean inactive page   [queue, object]",
        "D: page_protect of that page: its last mapping goes, and with it a page-table page",
        "D: wants the queue lock to unwire that   [queue, object]: waits for itself",
    ),
    symptom="the daemon, or a truncation, locks the page queues a second time and waits for itself",
    verdicts=("self_deadlock", "contract_violation"),
    scenario="fork-storm",
    replacements={"pmap.pmap_page_protect": pmap_page_protect},
    script=script,
)
