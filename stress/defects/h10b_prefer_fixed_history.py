"""H10, second face: an object is mapped by its offset, wherever it is mapped already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.object_prefer import PREFER
from vmcore.structs import VmObject

if TYPE_CHECKING:
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


defect = Defect(
    id="H10b",
    name="prefer-fixed-history",
    origin="documented",
    quote="to ask for the offset alone would be simpler, but does not follow those who chose their address",
    interleaving=(
        "A: maps file F at an address of its own choice (MAP_FIXED), of colour 3, and stores to it",
        "B: maps F wherever there is room: the offset says colour 0",
        "A and B may both write the same page: one frame at two colours",
    ),
    symptom="on a virtually indexed cache two processes do not see each other's stores",
    verdicts=("invariant_violation",),
    scenario="alignment",
    replacements={"vmcore.object_prefer.vm_object_prefer": vm_object_prefer},
)
