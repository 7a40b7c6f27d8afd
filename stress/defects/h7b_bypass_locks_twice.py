"""H7, second form: bypass locked the backing object, which its caller had locked."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def bypass(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, after a lock of its own.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: never.
    """
    backing.lock.acquire()
    done: bool = original("bypass.bypass")(vm, object, backing)
    return done


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B has one page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.write("P", 0, 2)},
    cues=(("A", "enter collapse.vm_object_collapse(O)"), ("A", "enter bypass.bypass(B)")),
    check=lambda scene: scene.expect("Q", 0, 1),
)

defect = Defect(
    id="H7b",
    name="collapse-rewrite-hang-double-lock",
    origin="reconstructed",
    quote="a rewrite of collapse, because of processes that hung; its bypass locked one object twice",
    interleaving=(
        "O and S shadow B; a write on O copies B's only page",
        "A: collapse(O) locks B; it has another user, so bypass is called   [O B]",
        "A: bypass locks B   [O B], waits for itself",
    ),
    symptom="the first bypass on real locks hangs its process",
    verdicts=("self_deadlock", "contract_violation"),
    scenario="fork-storm",
    replacements={"bypass.bypass": bypass},
    script=script,
)
