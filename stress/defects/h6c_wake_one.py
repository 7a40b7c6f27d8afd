"""H6, third face: several waited for the paging count, one was woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import OBJ_WAITING
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def wake_paging_waiters(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """The count is zero: wake one.

    Enter:  object locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    object.flags &= ~OBJ_WAITING
    object.chan.wakeup_one()


defect = Defect(
    id="H6c",
    name="pip-wakeup-of-one",
    origin="reconstructed",
    quote="macros that always wake all who wait for the paging count",
    interleaving=(
        "F: a page-in or a file write on O, pip 0 -> 1   []",
        "A, C: page_clean(O), both sleep in vospgc   []",
        "F: pip 1 -> 0, WAITING cleared, one of the two is woken",
        "the other sleeps on: WAITING is clear, so nobody will ever wake it",
    ),
    symptom="one of several processes that sync the same file never comes back",
    verdicts=("lost_wakeup",),
    replacements={"vmcore.object_paging.wake_paging_waiters": wake_paging_waiters},
)
