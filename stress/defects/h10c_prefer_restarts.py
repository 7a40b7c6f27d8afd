"""H10, third form: when the preferred place is taken, the search starts again where it started before."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmMap
from vmcore.vm import Vm


def vm_map_findspace(vm: Vm, map: VmMap, size: int, start: int = 0) -> int | None:  # noqa: ARG001
    """As the repaired step, but every search begins at the head of the map.

    Enter:  map locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    found: int | None = original("map.vm_map_findspace")(vm, map, size)
    return found


PAGES = 4


def scene(scene: Scene) -> None:
    """Q shows the file at BASE, which gives it a colour; P has something else there, and room before it."""
    scene.map_file("Q", 0, pages=PAGES, shared=True)
    scene.write("Q", 0, 1)
    scene.map("P", pages=PAGES)


script = Script(
    scene=scene,
    roles={"P": lambda scene: scene.map_anywhere("P", 0, PAGES)},
    cues=(
        ("P", "enter map_place.find_preferred"),
        ("P", "exit object_prefer.vm_object_prefer"),  # the address that it is told is taken
        ("P", "exit object_prefer.vm_object_prefer"),
        ("P", "exit map_place.find_preferred"),
    ),
    files=(PAGES,),
    livelock_s=0.1,
)

defect = Defect(
    id="H10c",
    name="prefer-restarts",
    origin="documented",
    quote="a search that goes on from the unmodified address finds the same hole for ever",
    interleaving=(
        "P: wants to map file F: the first hole that is large enough begins at a   [map w]",
        "the preferred address in it is b > a, and [b, b + size) is taken",
        "P: searches again from a: finds a, is told b, for ever",
    ),
    symptom="mmap never returns, and the map stays locked",
    verdicts=("livelock",),
    scenario="tight-holes",
    replacements={"map.vm_map_findspace": vm_map_findspace},
    script=script,
)
