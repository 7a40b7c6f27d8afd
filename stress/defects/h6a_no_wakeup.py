"""H6, first form: the paging count was decremented and no thread was woken."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_WAITING
from vmcore.structs import VmObject
from vmcore.vm import Vm


def wake_paging_waiters(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """The count is zero, and that is all.

    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    object.flags &= ~OBJ_WAITING


def scene(scene: Scene) -> None:
    """The only page of P's O is in swap."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.swap_out("O")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.expect("P", 0, 1), "A": lambda scene: scene.clean("O")},
    cues=(
        ("F", "enter fault_search.page_in(O)"),  # pip is 1
        ("A", "start"),
        ("A", "enter object_pages.drain_paging(O)"),  # O is locked until A sleeps
        ("F", "io swap_read"),
    ),
)

defect = Defect(
    id="H6a",
    name="missing-pip-wakeup",
    origin="documented",
    quote="macros that always wake those that wait for the paging count; processes hung in vospgc",
    interleaving=(
        "F: a fault on O owns a busy page, pip 0 -> 1, and sleeps for the disk   []",
        "A: msync, page_clean(O): pip is not zero, sleeps in vospgc   []",
        "F: pip 1 -> 0, and wakes no thread",
        "A: sleeps on, although what it waits for is true",
    ),
    symptom="a process sleeps for ever in vospgc or vospgw; the system is otherwise alive",
    verdicts=("lost_wakeup",),
    replacements={"object_paging.wake_paging_waiters": wake_paging_waiters},
    script=script,
)
