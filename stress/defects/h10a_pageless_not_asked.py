"""H10, first form: the machine is not asked where to map what has no pages yet."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object_prefer import ask_pages
from vmcore.space.access import vm_write
from vmcore.space.map_user import vm_allocate
from vmcore.structs import VmObject
from vmcore.vm import Vm


def vm_object_prefer(vm: Vm, object: VmObject | None, offset: int, addr: int) -> int:
    """As the repaired step, without the question of last resort.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, pv.
    Sleeps: never.
    """
    answer = ask_pages(vm, object, offset, addr) if object is not None else None
    return addr if answer is None else answer


def scene(scene: Scene) -> None:
    """P and Q have something at the lowest address, of different sizes."""
    vm = scene.vm
    for name, pages in (("P", 1), ("Q", 2)):
        scene.map(name)
        vm_allocate(vm, scene.region_map(name), pages * vm.page_size)


def share(scene: Scene) -> None:
    """Both map a file, then both store to its first page."""
    mapped = {name: scene.map_anywhere(name, 0) for name in ("P", "Q")}
    for name, at in mapped.items():
        vm_write(scene.vm, scene.space(name), at, scene.stamp(1))


script = Script(
    scene=scene,
    roles={"A": share},
    cues=(("A", "exit map_place.find_preferred"), ("A", "exit map_place.find_preferred")),
    files=(4,),
)

defect = Defect(
    id="H10a",
    name="prefer-pageless",
    origin="documented",
    quote="the aligner is asked for objects without pages too, or for no object at all",
    interleaving=(
        "A: maps file F, of which nothing is in memory: the address is whatever is free",
        "C: maps F before any page of it is in memory: another address, of another colour",
        "A and C fault on the same page and may both write: one frame at two colours",
    ),
    symptom="on a virtually indexed cache two processes do not see each other's stores",
    verdicts=("invariant_violation",),
    scenario="alignment",
    replacements={"object_prefer.vm_object_prefer": vm_object_prefer},
    script=script,
)
