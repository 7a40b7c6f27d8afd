"""H9: a backing object with a pager is never bypassed, though it shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import original
from stress.defect import Defect
from stress.script import Script
from stress.script_scene import Scene
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def hides(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but whatever has a pager is taken for visible."""
    return not backing.pager and bool(original("vmcore.bypass.hides")(vm, object, backing))


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, whose only page is in swap; both have a page of their own there."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.put("T", 0, 2)
    scene.swap_out("B")
    scene.branch("Q", "S", over="B")
    scene.put("S", 0, 3)
    scene.crowd("W")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.collapse("T")},
    cues=(("F", "enter bypass.bypass(B)"),),
    check=lambda scene: scene.expect("P", 0, 2),
)

defect = Defect(
    id="H9",
    name="bypass-refuses-paged-backing",
    origin="documented",
    quote="the same trouble with parts of the parent paged out, on the side of the object that two share",
    interleaving=(
        "P and its child share B, and both write all of it: O1 on B, O2 on B",
        "D: the daemon pages out a part of B: B has a pager from now on",
        (
            "P: a copy-on-write fault tries collapse(O1): B has two references, so bypass, and B has "
            "a pager: refused"
        ),
        "the same for O2: both chains keep B, of which nobody can see a page",
    ),
    symptom=(
        "pages that nobody can see stay in memory and swap as long as both processes live; faults "
        "walk farther"
    ),
    verdicts=("leak",),
    scenario="long-lived-parent",
    replacements={"vmcore.bypass.hides": hides},
    script=script,
)
