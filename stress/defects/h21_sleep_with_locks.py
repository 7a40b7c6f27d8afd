"""H21: a page-out that the pager puts off is waited for with the object and the queues locked."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import VM_PAGER_AGAIN
from vmcore.pageout.pageout import AGAIN_S, nap
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def settle(vm: Vm, page: VmPage, object: VmObject, result: int, target: bool = True) -> None:
    """As the repaired step, but the shortage is slept over here.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (shortly).
    """
    if target and result == VM_PAGER_AGAIN:
        vm.pages_needed_lock.acquire()
        nap(vm, AGAIN_S)
    original("pageout_page.settle")(vm, page, object, result, target)


def scene(scene: Scene) -> None:
    """P's page is inactive and dirty."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.age("O")


def short(kind: str, what: int, offset: int) -> int | None:  # noqa: ARG001
    """A pager that has no record left."""
    return VM_PAGER_AGAIN if kind == "put" else None


def scan(scene: Scene) -> None:
    """The daemon comes to the page while the pager is short."""
    scene.vm.io.result_hook = short
    scene.scan("O")
    scene.vm.io.result_hook = None


script = Script(
    scene=scene,
    roles={"D": scan},
    cues=(("D", "enter pageout_page.settle"),),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H21",
    name="sleep-with-locks",
    origin="documented",
    quote="unlock the object and the page queues before the sleep of a page-out that must be retried",
    interleaving=(
        "D: page-out of a page of O: the pager is short of something: AGAIN   [O, queue]",
        "D: sleeps until it may be better   [O, queue]",
        "every process that faults waits for the queue lock; a thread that could help waits for O",
    ),
    symptom="everything stands still for a moment at each shortage, or for ever",
    verdicts=("contract_violation", "order_violation", "deadlock"),
    scenario="disk-trouble",
    replacements={"pageout_page.settle": settle},
    script=script,
)
