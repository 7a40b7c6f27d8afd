"""L37: a page changes its object while its write is in flight."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import SPC_BUSY, SPC_WRITING
from vmcore.structs import VmObject
from vmcore.vm import Vm


def pip_rule(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> VmObject | None:
    """As the repaired step, but page-outs that are only being written do not count.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    reference = vm.objects.ref(backing)
    written = sum(
        record.object == reference and record.state in (SPC_BUSY, SPC_WRITING)
        for record in vm.pending.views[1:]
    )
    if object.paging_in_progress > mypip:
        return object
    return backing if backing.paging_in_progress > written else None


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B has a dirty page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"W": lambda scene: scene.clean("B", sync=False), "A": lambda scene: scene.exit("Q")},
    cues=(
        ("W", "end"),  # the write is queued
        ("A", "start"),
        ("A", "end"),
        ("disk", "io swap_write"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L37",
    name="pip-charged-to-wrong-object",
    origin="reconstructed",
    quote=(
        "a page is renamed while an asynchronous write is pending; its completion lowers the count of "
        "the new object"
    ),
    interleaving=(
        "D: page-out of a page of B: asynchronous, B.pip is 1   []",
        "A: collapse(O): B's count is only a write, so overlay moves the busy page into O and frees B",
        "the completion looks for the object that the record names: it is gone, or another by now",
    ),
    symptom="one object's paging count never reaches zero, another's goes below it",
    verdicts=("contract_violation", "panic", "invariant_violation", "unguarded_access"),
    scenario="long-lived-parent",
    replacements={"collapse.pip_rule": pip_rule},
    notes=(
        "R's record names the object that the write was counted for, not the page's object of the day: so "
        "there is a stale link where the old completion lowered the new object's count.  A page of B that O "
        "hides is freed by the collapse, which does not own it: that breaks a contract."
    ),
    script=script,
)
