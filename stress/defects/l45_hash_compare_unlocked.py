"""L45: named memory counts as anonymous, so a collapse takes its pager away under the hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import original
from stress.defect import Defect
from vmcore.constants import OBJ_COLLAPSING, OBJ_FADING, OBJ_INTERNAL
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def make_named(vm: Vm, name: int, size: int) -> VmObject | None:
    """As the repaired step, but the object stays INTERNAL."""
    made: VmObject | None = original("vmcore.pager_named.make_named")(vm, name, size)
    if made is not None:
        made.lock.acquire()
        made.flags |= OBJ_INTERNAL
        made.lock.release()
    return made


def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, whoever is found through the hash."""
    return bool(backing.flags & (OBJ_INTERNAL | OBJ_FADING | OBJ_COLLAPSING) == OBJ_INTERNAL)


defect = Defect(
    id="L45",
    name="hash-compare-unlocked",
    origin="reconstructed",
    quote="a lookup compares entry.object.pager under the cache lock only, and a collapse moves pagers",
    interleaving=(
        "P maps named memory N and forks: both have a shadow on N, since N is INTERNAL",
        "P's child leaves, and P's shadow S is alone above N",
        "P: collapse(S) absorbs N with its pager, which the hash still leads to N for   [S, N]",
        "Q: maps the name: finds the pager, and no object that has it, or one that is free   [cache]",
    ),
    symptom="processes that map one name and do not see each other's stores; use of a freed object",
    verdicts=(
        "wrong_data",
        "invariant_violation",
        "panic",
        "unguarded_access",
        "crash",
        "lost_wakeup",
        "leak",
    ),
    scenario="named-memory",
    replacements={
        "vmcore.pager_named.make_named": make_named,
        "vmcore.collapse.may_join": may_join,
    },
)
