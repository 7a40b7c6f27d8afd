"""H6, first face: the paging count was decremented and nobody was woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import OBJ_WAITING
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def wake_paging_waiters(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """The count is zero, and that is all.

    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    object.flags &= ~OBJ_WAITING


defect = Defect(
    id="H6a",
    name="missing-pip-wakeup",
    origin="documented",
    quote="macros that always wake those who wait for the paging count; processes hung in vospgc",
    interleaving=(
        "F: a fault on O owns a busy page, pip 0 -> 1, and sleeps for the disk   []",
        "A: msync, page_clean(O): pip is not zero, sleeps in vospgc   []",
        "F: pip 1 -> 0, and wakes nobody",
        "A: sleeps on, although what it waits for is true",
    ),
    symptom="a process sleeps for ever in vospgc or vospgw; the system is otherwise alive",
    verdicts=("lost_wakeup",),
    replacements={"vmcore.object_paging.wake_paging_waiters": wake_paging_waiters},
)
