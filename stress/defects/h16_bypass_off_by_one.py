"""H16: a page exactly past the end of the window blocks a bypass for ever."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.bypass import shows
from vmcore.object.object_pager import object_holds
from vmcore.structs import VmObject
from vmcore.vm import Vm


def hides(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, with the end of the window taken for a part of it.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  page hash, pager.
    Sleeps: never.
    """
    end = object.shadow_offset + object.size
    if object_holds(vm, backing, end) and not shows(vm, object, object.size):
        return False
    return bool(original("bypass.hides")(vm, object, backing))


def scene(scene: Scene) -> None:
    """B has five pages; P's T looks at all of them, Q's S at four, and has four of its own."""
    scene.map("P", "B", pages=5)
    for number in range(5):
        scene.put("B", number, number)
    scene.shadow("P", "T", pages=5)
    scene.branch("Q", "S", over="B", pages=4)
    for number in range(4):
        scene.put("S", number, 10 + number)


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.collapse("S")},
    cues=(("F", "enter bypass.bypass(B)"),),
    check=lambda scene: scene.expect("P", 4, 4),
)

defect = Defect(
    id="H16",
    name="bypass-off-by-one",
    origin="documented",
    quote="the window of the front object was compared with <= where < was meant",
    interleaving=(
        "B has five pages; an entry is clipped to the first four, and shadowed by O",
        "O writes its four pages: B shows it nothing",
        "collapse(O): bypass looks at B's fifth page, at x = O.size, takes it for visible, and refuses",
    ),
    symptom="chains of clipped regions keep objects of which they show nothing; never wrong data",
    verdicts=("leak",),
    scenario="clip-and-fork",
    replacements={"bypass.hides": hides},
    script=script,
)
