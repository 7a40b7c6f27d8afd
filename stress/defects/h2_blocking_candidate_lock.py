"""H2: the candidate, which lies above, was locked by waiting for it from below."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_COLLAPSING, OBJ_DYING, OBJ_FADING, OBJ_INTERNAL
from vmcore.object.object import only_shadower
from vmcore.structs import VmObject
from vmcore.vm import Vm

CLOSING = OBJ_DYING | OBJ_FADING | OBJ_COLLAPSING


def candidate(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, but the lock above is waited for, with object locked.

    Enter:  object locked.
    Exit:   object unlocked; result locked (with one reference for the caller).
    Takes:  object.
    Sleeps: never.
    """
    found = None
    if object.flags & (OBJ_INTERNAL | OBJ_FADING) == OBJ_INTERNAL:
        shadower = only_shadower(vm, object)
        if shadower is not None:
            shadower.lock.acquire()
            if shadower.ref_count > 0 and not shadower.flags & CLOSING:
                shadower.ref_count += 1
                found = shadower
            else:
                shadower.lock.release()
    object.lock.release()
    return found


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
    replacements={"deallocate.candidate": candidate},
    script=script,
)
