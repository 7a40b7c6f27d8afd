"""L5: the list of shadowers was read after the object had been unlocked."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_FADING, OBJ_INTERNAL
from vmcore.object.deallocate import hold_candidate
from vmcore.object.object import only_shadower
from vmcore.structs import VmObject
from vmcore.vm import Vm


def candidate(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, but object is unlocked first, and the shadower waited for.

    Enter:  object locked.
    Exit:   object unlocked; result locked (with one reference for the caller).
    Takes:  object.
    Sleeps: never.
    """
    possible = object.shadowers_first and object.flags & (OBJ_INTERNAL | OBJ_FADING) == OBJ_INTERNAL
    object.lock.release()
    vm.point("candidate: unlocked", object.slot)
    shadower = only_shadower(vm, object) if possible else None
    if shadower is None:
        return None
    shadower.lock.acquire()
    return hold_candidate(vm, shadower)


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "E": lambda scene: scene.exit("P")},
    cues=(
        ("A", "enter deallocate.candidate(B)"),
        ("E", "start"),
        ("E", "enter terminate.vm_object_terminate(B)"),  # T is gone, and B's last reference with it
        ("E", "end"),
        ("A", "point candidate: unlocked(B)"),
    ),
)

defect = Defect(
    id="L5",
    name="candidate-read-after-unlock",
    origin="reconstructed",
    quote="read from the code: it unlocks the object and the cache, then reads the head of its list",
    interleaving=(
        "T and S shadow B; both owners exit",
        "A: has taken its reference off B, 2 -> 1, and unlocks B   []",
        "E: ends T, and drops T's reference on B, the last: B is free   []",
        "A: reads the list of B's shadowers: a free record",
    ),
    symptom="use of a freed object in exit storms",
    verdicts=("unguarded_access", "panic"),
    scenario="fork-storm",
    options={"checked": True},
    replacements={"deallocate.candidate": candidate},
    script=script,
)
