"""H7, third form: the grand object was unlocked through a pointer that had been cleared."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def clear_shadow(vm: Vm, backing: VmObject, grand: VmObject | None) -> None:  # noqa: ARG001
    """As the repaired step, but the grand object is found through backing when it is to be unlocked.

    Enter:  backing, grand locked.
    Exit:   backing locked.
    Takes:  nothing.
    Sleeps: never.
    """
    backing.shadow = 0
    if backing.shadow:
        vm.objects(backing.shadow).lock.release()


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does, and B shadows G."""
    scene.map("P", "G")
    scene.put("G", 0, 1)
    scene.shadow("P", "B", "O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "enter overlay.dispose_of_backing(B)"),
        ("A", "exit overlay.dispose_of_backing(B)"),  # G is locked
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H7c",
    name="collapse-rewrite-hang-leaked-lock",
    origin="reconstructed",
    quote=(
        "a rewrite of collapse, because of processes that hung; it unlocked the object that a pointer "
        "had named before it was cleared"
    ),
    interleaving=(
        "O shadows B, B shadows G; B has no other user",
        "A: overlay(O, B) locks G through B.shadow   [O B G]",
        "A: O shadows G now, B.shadow is cleared   [O B G]",
        "A: unlocks what B.shadow names, which is nothing   [O G]",
        "the thread that needs G next waits for a process that has long gone on",
    ),
    symptom="an object stays locked for ever after the collapse above it",
    verdicts=("contract_violation", "self_deadlock", "deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"overlay.clear_shadow": clear_shadow},
    script=script,
)
