"""H28: after a write the scan goes on with the page that was next before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect

if TYPE_CHECKING:
    from vmcore.vm import Vm


def still_next(vm: Vm, following: int) -> int:  # noqa: ARG001
    """Whatever it is by now.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return following


defect = Defect(
    id="H28",
    name="stale-next",
    origin="documented",
    quote="the page that the scan has saved as the next one may have left the inactive queue meanwhile",
    interleaving=(
        "D: the scan notes that n follows m, and writes m out: the queue lock is dropped",
        "F: a fault on n takes it off the inactive queue and activates it when it is done",
        "D: goes on with n: referenced, so it activates n, which is active already",
    ),
    symptom="the daemon walks a queue that it is not on: panic, or pages judged that were not its business",
    verdicts=("panic", "invariant_violation", "crash", "unguarded_access"),
    scenario="long-lived-parent",
    entry="short",
    replacements={"vmcore.pageout.still_next": still_next},
)
