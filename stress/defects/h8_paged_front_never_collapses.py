"""H8: a front object that has ever been paged out is never collapsed again."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but only for an object without a pager."""
    return not object.pager and bool(original("collapse.may_join")(vm, object, backing))


def scene(scene: Scene) -> None:
    """P's O and Q's S shadow B; O's page is in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")
    scene.crowd("W")


script = Script(
    scene=scene,
    roles={"E": lambda scene: scene.exit("Q")},
    cues=(("E", "end"),),
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="H8",
    name="paged-front-never-collapses",
    origin="documented",
    quote=(
        "collapse fails for what an exited child leaves behind; it seems to happen when parts of the "
        "parent are paged out"
    ),
    interleaving=(
        "P forks; P writes, so its new front O2 shadows O1, which the child holds too",
        "D: the daemon pages out a part of O2: O2 has a pager from now on",
        "the child exits: O1 has one reference, O2's",
        "P: faults, collapse(O2): it has a pager, so nothing is done",
        ("P: forks and writes again: O3 on O2 on O1; pages that no process sees stay in memory and swap"),
    ),
    symptom="chains and swap of a long-lived process grow with every fork, until it exits",
    verdicts=("leak",),
    scenario="long-lived-parent",
    options={"noise": "none", "pages": 80},
    replacements={"collapse.may_join": may_join},
    script=script,
)
