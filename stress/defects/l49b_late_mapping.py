"""L49, second face: a fault tests for a copy-object, unlocks, and then enters its writable mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import original
from stress.defect import Defect
from vmcore.fault_state import FaultState

if TYPE_CHECKING:
    from vmcore.vm import Vm


def enter_page(vm: Vm, state: FaultState) -> int:
    """As the repaired step, but the object is unlocked for a moment before it.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    state.object.lock.release()
    vm.point("about to enter", state.page.slot)
    state.object.lock.acquire()
    result: int = original("vmcore.fault.enter_page")(vm, state)
    return result


defect = Defect(
    id="L49b",
    name="late-write-protect-fault",
    origin="reconstructed",
    quote="the fault enters its mapping after it has let go of the lock under which it looked for a copy",
    interleaving=(
        "W: a write fault on file page m: the object has no copy, nothing is to be pushed; unlocks   []",
        "P: takes a snapshot: copy-object C; every mapping of the file is made read-only   []",
        "W: enters its writable mapping of m, and stores: nothing was pushed to C",
        "P: reads m through C and finds W's store",
    ),
    symptom="a snapshot shows what was stored after it was taken",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="snapshots",
    replacements={"vmcore.fault.enter_page": enter_page},
)
