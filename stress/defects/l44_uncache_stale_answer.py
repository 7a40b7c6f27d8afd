"""L44: whether a file is in use is asked without its object's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def only_ours(vm: Vm, object: VmObject) -> bool:
    """As the repaired step, unlocked.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    count = int(object.ref_count)
    vm.point("count of users read", object.slot)
    return count == 1


defect = Defect(
    id="L44",
    name="uncache-stale-answer",
    origin="reconstructed",
    quote="vnode_pager_uncache tests ref_count <= 1 without a lock",
    interleaving=(
        "C: uncache: looks the object up, reads ref_count 1   []",
        "M: maps the file: ref_count 2   [vnode, cache]",
        "C: answers that nobody uses the file; its caller truncates it",
        "M: reads zeros behind the end of what it has just mapped",
    ),
    symptom="a file is cut off under somebody who has just mapped it",
    verdicts=("unguarded_access", "wrong_data", "invariant_violation"),
    scenario="last-users",
    options={"checked": True},
    replacements={"vmcore.vnode_size.only_ours": only_ours},
)
