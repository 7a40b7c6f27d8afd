"""H28: after a write the scan goes on with the page that was next before it."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.vm_wait import wake_daemon
from vmcore.vm import Vm


def still_next(vm: Vm, following: int) -> int:  # noqa: ARG001
    """Whatever it is by now.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return following


def scene(scene: Scene) -> None:
    """Frames are short; P's dirty page and Q's clean one are first on the inactive queue."""
    scene.map("P", "M")
    scene.put("M", 0, 1)
    scene.map("Q", "N")
    scene.put("N", 0, 2)
    scene.clean("N")
    scene.age("M")
    scene.age("N")
    scene.fill("W")


def poke(scene: Scene) -> None:
    """The daemon has something to do."""
    wake_daemon(scene.vm)


script = Script(
    scene=scene,
    roles={
        "A": poke,
        "F": lambda scene: scene.expect("Q", 0, 2),
    },
    cues=(
        ("A", "start"),
        ("pageout", "enter pageout_page.begin"),  # N's page was noted as the next; the queues are locked
        ("F", "start"),
        ("F", "end"),
        ("pageout", "enter pager.vm_pager_put_pages"),
    ),
    pages=32,
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H28",
    name="stale-next",
    origin="documented",
    quote="the page that the scan has saved as the next one may have left the inactive queue meanwhile",
    interleaving=(
        "D: the scan notes that n follows m, and writes m out: the queue lock is dropped",
        "F: a fault on n takes it off the inactive queue and activates it when it is done",
        "D: goes on with n: referenced, so it activates n, which is active already",
    ),
    symptom="the daemon walks a queue that it is not on: panic, or pages judged that were not its business",
    verdicts=("panic", "invariant_violation", "unguarded_access"),
    scenario="long-lived-parent",
    options={"workers": 8, "pages": 80},
    replacements={"pageout.still_next": still_next},
    script=script,
)
