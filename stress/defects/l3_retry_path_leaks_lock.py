"""L3: "there is an orphan to go on with" was taken for "the candidate is gone, nothing to unlock"."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import after_collapse
from vmcore.structs import VmObject
from vmcore.vm import Vm, release_later


def collapse_candidate(vm: Vm, shadower: VmObject) -> None:
    """As the repaired step, but a candidate that absorbed something is not unlocked.

    Enter:  shadower locked.
    Exit:   shadower unlocked.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    removed, _ = vm_object_collapse(vm, shadower)
    if removed and shadower.shadow:  # what it absorbed had a shadow: the orphan of the retry
        release_later(vm, shadower, False)
    else:
        after_collapse(vm, shadower)


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, which alone shadows G."""
    scene.map("P", "G")
    scene.put("G", 0, 1)
    scene.shadow("P", "B", "T")
    scene.put("B", 1, 2)
    scene.branch("Q", "S", over="B")
    scene.branch("R", "U", over="G")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(("A", "enter deallocate.candidate(B)"), ("A", "exit collapse.vm_object_collapse(T)")),
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="L3",
    name="retry-path-leaks-candidate-lock",
    origin="reconstructed",
    quote='read from the code: "an orphan came back" has two causes, and the caller knows one',
    interleaving=(
        "T and S shadow B, B shadows G; the last user of S exits",
        "A: deallocate(B) finds T, locks it, and collapses: T absorbs B   [T]",
        "A: B had a shadow, so an orphan comes back; A takes T for dead and does not unlock it   [T]",
        "A: releases something else, and needs T's lock for that, or returns with it",
    ),
    symptom="an exiting process waits for a lock that it holds, or leaves it locked for ever",
    verdicts=("contract_violation", "self_deadlock", "deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"deallocate.collapse_candidate": collapse_candidate},
    script=script,
)
