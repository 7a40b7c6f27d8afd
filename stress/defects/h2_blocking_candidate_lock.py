"""H2: the candidate, which lies above, was locked by waiting for it from below."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def lock_candidate(vm: Vm, shadower: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, but the lock above is waited for, with the object below locked.

    Enter:  anything.
    Exit:   shadower locked.
    Takes:  object.
    Sleeps: never.
    """
    shadower.lock.acquire()
    return True


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, which has the only page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "F": lambda scene: scene.write("P", 0, 2)},
    cues=(
        ("A", "enter deallocate.survive(B)"),  # B is locked
        ("F", "enter fault_search.descend(B)"),  # T is locked; next comes B
        ("A", "enter deallocate.candidate(B)"),  # next comes T
    ),
    check=lambda scene: scene.expect("P", 0, 2),
)

defect = Defect(
    id="H2",
    name="blocking-candidate-lock",
    origin="documented",
    quote="the candidate's lock is taken by a try only: the thread that holds it may wait for ours",
    interleaving=(
        "T shadows B; the last other reference on B goes away",
        "A: deallocate(B) leaves one reference and looks for the only shadower, T   [B]",
        "F: a write fault on T locks T, does not find the page, wants B   [T], waits for B",
        "A: waits for T   [B]: A and F wait for each other",
    ),
    symptom="two processes, one exiting and one in a fault, wait for each other's object lock",
    verdicts=("deadlock", "order_violation"),
    replacements={"deallocate.lock_candidate": lock_candidate},
    script=script,
)
