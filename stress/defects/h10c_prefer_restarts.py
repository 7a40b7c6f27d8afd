"""H10, third form: when the preferred place is taken, the search starts again where it started before."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.map.map import range_is_free, vm_map_findspace
from vmcore.map.map_place import Preference
from vmcore.structs import VmMap
from vmcore.vm import Vm


def find_preferred(vm: Vm, map: VmMap, size: int, prefer: Preference | None) -> int | None:
    """As the repaired step, but it goes on from the address before the preference.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  map hint, object, pv.
    Sleeps: never.
    """
    found = vm_map_findspace(vm, map, size)
    while found is not None and prefer is not None:
        best = prefer(found)
        if best == found or range_is_free(vm, map, best, best + size):
            return best
        vm.native.failure()  # as the repaired step
        found = vm_map_findspace(vm, map, size, found)
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
    replacements={"map_place.find_preferred": find_preferred},
    script=script,
)
