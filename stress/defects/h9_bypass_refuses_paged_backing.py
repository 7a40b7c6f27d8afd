"""H9: a backing object with a pager is never bypassed, though it shows nothing."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def hides(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but whatever has a pager is taken for visible."""
    return not backing.pager and bool(original("bypass.hides")(vm, object, backing))


PAGES = 4


def scene(scene: Scene) -> None:
    """P and its child share B, which is in swap."""
    scene.map("P", "B", PAGES)
    for page in range(PAGES):
        scene.put("B", page, 1 + page)
    scene.fork("P", "Q")
    scene.swap_out("B")


def both_write_all(scene: Scene) -> None:
    """Page after page; then neither process sees anything of B."""
    for page in range(PAGES):
        scene.write("P", page, 10 + page)
        scene.write("Q", page, 20 + page)


script = Script(scene=scene, roles={"W": both_write_all}, cues=(("W", "end"),))


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
        "the same for O2: both chains keep B, of which neither process can see a page",
    ),
    symptom=(
        "pages that no thread can see stay in memory and swap as long as both processes live; faults "
        "walk farther"
    ),
    verdicts=("leak",),
    scenario="grown-children",
    options={"noise": "none"},
    replacements={"bypass.hides": hides},
    script=script,
)
