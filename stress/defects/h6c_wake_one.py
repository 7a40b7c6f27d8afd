"""H6, third form: several waited for the paging count, one was woken."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_WAITING
from vmcore.structs import VmObject
from vmcore.vm import Vm


def wake_paging_waiters(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """The count is zero: wake one.

    Enter:  object locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    object.flags &= ~OBJ_WAITING
    object.chan.wakeup_one()


def scene(scene: Scene) -> None:
    """The only page of P's O is in swap."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.swap_out("O")


script = Script(
    scene=scene,
    roles={
        "F": lambda scene: scene.expect("P", 0, 1),
        "A": lambda scene: scene.clean("O"),
        "C": lambda scene: scene.clean("O"),
    },
    cues=(
        ("F", "enter fault_search.page_in(O)"),  # pip is 1
        ("A", "start"),
        ("A", "enter object_pages.drain_paging(O)"),  # O is locked until A sleeps
        ("C", "start"),
        ("C", "enter object_pages.drain_paging(O)"),
        ("F", "io swap_read"),
    ),
)

defect = Defect(
    id="H6c",
    name="pip-wakeup-of-one",
    origin="reconstructed",
    quote="macros that always wake all that wait for the paging count",
    interleaving=(
        "F: a page-in or a file write on O, pip 0 -> 1   []",
        "A, C: page_clean(O), both sleep in vospgc   []",
        "F: pip 1 -> 0, WAITING cleared, one of the two is woken",
        "the other sleeps on: WAITING is clear, so no thread will ever wake it",
    ),
    symptom="one of several processes that sync the same file never comes back",
    verdicts=("lost_wakeup",),
    replacements={"object_paging.wake_paging_waiters": wake_paging_waiters},
    script=script,
)
