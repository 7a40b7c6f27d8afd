"""H10, second form: an object is mapped by its offset, wherever it is mapped already."""

from __future__ import annotations

from stress.defect import Defect
from stress.oracles.at_rest import InvariantViolated
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.object.object_prefer import PREFER
from vmcore.space.access import vm_write
from vmcore.space.map_user import vm_map_file
from vmcore.structs import VmObject
from vmcore.vm import Vm


def vm_object_prefer(vm: Vm, object: VmObject | None, offset: int, addr: int) -> int:  # noqa: ARG001
    """As the repaired step, but pages are not asked: the offset decides.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    answer = PREFER(vm, None, addr - offset)
    return addr if answer is None else answer + offset


COLOUR = 3


def scene(scene: Scene) -> None:
    """P has mapped a file where it likes, and has stored to it; Q has not."""
    vm = scene.vm
    scene.map("P")
    amap, at = scene.region_map("P"), 2 * BASE + COLOUR * vm.page_size
    vm_map_file(vm, amap, vm.vnodes.views[1], 4 * vm.page_size, shared=True, address=at)
    vm_write(vm, scene.space("P"), at, scene.stamp(1))
    scene.map("Q")


def follow(scene: Scene) -> None:
    """Q must come to the same colour.  InvariantViolated."""
    vm = scene.vm
    colour = scene.map_anywhere("Q", 0) // vm.page_size % vm.config.colours
    if colour != COLOUR:
        raise InvariantViolated([f"the file is mapped at colour {COLOUR}, and now at {colour}, too"])


script = Script(
    scene=scene,
    roles={"B": follow},
    cues=(("B", "exit map_place.find_preferred"),),
    files=(4,),
)

defect = Defect(
    id="H10b",
    name="prefer-fixed-history",
    origin="documented",
    quote="to ask for the offset alone is simpler, but does not follow mappings whose address was chosen",
    interleaving=(
        "A: maps file F at an address of its own choice (MAP_FIXED), of colour 3, and stores to it",
        "B: maps F wherever there is room: the offset says colour 0",
        "A and B may both write the same page: one frame at two colours",
    ),
    symptom="on a virtually indexed cache two processes do not see each other's stores",
    verdicts=("invariant_violation",),
    scenario="alignment",
    replacements={"object_prefer.vm_object_prefer": vm_object_prefer},
    script=script,
)
