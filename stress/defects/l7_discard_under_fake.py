"""L7: a placeholder that a fault had planted was taken for a page, and hid the one below it."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def pip_rule(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> VmObject | None:  # noqa: ARG001
    """As the repaired step, without the front object's half.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return backing if backing.paging_in_progress else None


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does, and B shadows G; O has a pager, which has page 1 only."""
    scene.map("P", "G")
    scene.put("G", 3, 4)
    scene.shadow("P", "B", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.expect("P", 0, 1), "A": lambda scene: scene.exit("Q")},
    cues=(
        ("F", "enter fault_search.page_in(O)"),
        ("F", "enter pager.vm_pager_get_pages"),  # the placeholder is in O, nothing is locked
        ("A", "start"),
        ("A", "exit collapse.vm_object_collapse(O)"),
        ("F", "exit pager.vm_pager_get_pages"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L7",
    name="discard-under-fake",
    origin="reconstructed",
    quote='read from the code: "O has a page there" includes pages that only stand for one',
    interleaving=(
        "O shadows B, B has page x, O's pager has not",
        "F: a fault at x plants a placeholder in O, pip 0 -> 1, and asks O's pager   []",
        "A: collapse(O): O has a page at x, so B's is discarded; O shadows G now   [O B]",
        "F: the pager has no such page, so F looks below, in G   [O]",
        "F: finds an older page there, or fills with zeros",
    ),
    symptom="a page turns to zeros or to an older snapshot",
    verdicts=("wrong_data", "invariant_violation", "panic"),
    scenario="fork-storm",
    replacements={"collapse.pip_rule": pip_rule},
    script=script,
)
