"""L42: an object was locked through a pointer, the pointer cleared, and the unlock went through it."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.terminate import cut_links
from vmcore.structs import VmObject
from vmcore.vm import Vm


def detach_from_shadow(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, but the shadow is found through object when it is to be unlocked.

    Enter:  object locked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    if not object.shadow:
        return None
    shadow: VmObject = vm.objects(object.shadow)
    shadow.lock.acquire()
    cut_links(vm, object, shadow)
    if object.shadow:
        vm.objects(object.shadow).lock.release()
    return shadow


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "enter terminate.detach_and_drain(S)"),
        ("A", "exit terminate.detach_and_drain(S)"),  # B is locked
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L42",
    name="cleared-pointer-unlock",
    origin="reconstructed",
    quote="read from the code: lock through the shadow pointer, clear it, unlock through it",
    interleaving=(
        "S shadows B; S dies",
        "A: terminate(S) locks B through S.shadow   [S B]",
        "A: takes S out of B's shadowers and clears S.shadow   [S B]",
        "A: unlocks what S.shadow names, which is nothing   [B]",
        "A: releases S's reference on B, and locks B, which it holds",
    ),
    symptom="an object stays locked for ever; its next user hangs",
    verdicts=("contract_violation", "self_deadlock", "deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"terminate.detach_from_shadow": detach_from_shadow},
    notes=(
        "The reference has it in V1's collapse, which is H7c; this is the other place where the lower "
        "lock is taken through the pointer."
    ),
    script=script,
)
