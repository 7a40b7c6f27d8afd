"""L10: what the front hides is dropped from the pager before the writes in flight have ended."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.collapse import grand_blocks
from vmcore.object.overlay import trim_pager
from vmcore.structs import SwapBlock, VmObject
from vmcore.vm import Vm


def pip_rule(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> VmObject | None:
    """As the repaired step, but backing's pager is trimmed first.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (swpgdealloc).
    """
    if backing.ref_count == 1 and not grand_blocks(vm, backing):
        trim_pager(vm, object, backing)
    busy: VmObject | None = original("collapse.pip_rule")(vm, object, backing, mypip)
    return busy


def is_unused(block: SwapBlock) -> bool:
    """As the repaired step, but a block without valid pages is, even while a write into it is in flight.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return not block.swb_mask


def scene(scene: Scene) -> None:
    """T hides both pages of B: one is in swap, the other dirty, and both belong into one block."""
    scene.map("P", "B")
    scene.put("B", 1, 2)
    scene.swap_out("B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.put("T", 0, 3)
    scene.put("T", 1, 4)
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={
        "W": lambda scene: scene.clean("B", sync=False),
        "A": lambda scene: scene.exit("Q"),
    },
    cues=(
        ("W", "end"),  # the write is queued
        ("A", "start"),
        ("A", "end"),  # never, if it waits for the write with its locks held; then the gates open
        ("disk", "io swap_write"),
    ),
    check=lambda scene: scene.expect("P", 0, 3),
)

defect = Defect(
    id="L10",
    name="trim-before-drain",
    origin="reconstructed",
    quote="overlay trims the backing object's pager to the front's window, and only then waits for paging",
    interleaving=(
        "D: page y of B, which O cannot see, is on its way to block k of the swap file",
        "A: collapse(O): trims B's pager: block k is free   [O, B]",
        "X: another pager gets block k and writes its page there",
        "the disk finishes D's write of y last: X's page is overwritten",
        "or: the pager is empty and goes: A waits for its writes with O and B locked",
    ),
    symptom="the page of another object is overwritten in swap; or a sleep with object locks",
    verdicts=("wrong_data", "invariant_violation", "contract_violation", "deadlock", "panic"),
    scenario="clip-and-fork",
    options={"noise": "none"},
    replacements={
        "collapse.pip_rule": pip_rule,
        "swap.is_unused": is_unused,
    },
    script=script,
)  # fmt: skip
