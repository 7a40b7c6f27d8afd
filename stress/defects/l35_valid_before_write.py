"""L35: a swap page counts as written as soon as its write begins."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import SPC_DONE
from vmcore.structs import Pager, PendingClean, SwapBlock
from vmcore.vm import Vm


def make_valid(pager: Pager, block: SwapBlock, bits: int) -> None:
    """In the place of both steps: valid when the write begins, and so when it has ended, too.

    Enter:  pager locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    pager.sw_cnt += (bits & ~block.swb_mask).bit_count()
    block.swb_mask |= bits


def take_finished(vm: Vm) -> tuple[PendingClean, int] | None:
    """As the repaired step, but whether the page is written is asked of its bit.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list.
    Sleeps: never.
    """
    taken: tuple[PendingClean, int] | None = original("swap_io.take_finished")(vm)
    if taken is None:
        return None
    record, state = taken
    valid = vm.swap_blocks.views[record.block].swb_mask >> record.index & 1
    return record, SPC_DONE if valid else state


def scene(scene: Scene) -> None:
    """Swap has an old value of B's page, and memory the last one."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.swap_out("B")
    scene.write("P", 0, 2)


def look(scene: Scene) -> None:
    """What the daemon does with B's page when it is short of frames."""
    scene.age("B")
    scene.scan("B")


script = Script(
    scene=scene,
    roles={
        "A": lambda scene: scene.clean("B", sync=False),
        "D": look,
        "F": lambda scene: scene.expect("P", 0, 2),
    },
    cues=(
        ("A", "end"),  # the write is queued
        ("disk", "enter swap_io.write_record"),  # not before: a reaper would hold B, which A wants
        ("pageout", "exit swap_io.finish_pages(B)"),  # it has failed, and was reaped
        ("D", "start"),
        ("D", "end"),
        ("F", "start"),
    ),
    faults={"disk_error": 1},
)

defect = Defect(
    id="L35",
    name="valid-before-write",
    origin="reconstructed",
    quote="the bit that says a swap page is valid is set before the page is written",
    interleaving=(
        "D: page-out of page m of B: its swap page counts as valid from now on",
        "the write fails; no thread takes the bit back",
        "D: reaps the write: the pager has the page, so m is clean, and soon free",
        "a thread that reads m gets what the swap page held before",
    ),
    symptom="after a disk error that was noticed and survived, memory shows what the disk held before",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="disk-trouble",
    notes=(
        "A group: in these sources a page stays dirty in memory until its write has succeeded, and "
        "hides the wrong bit.  So the completion, too, goes by the bit.  That a page is called clean after a "
        "write that failed is the mistake of L20; L35's own is what says so: a bit that was set too early."
    ),
    script=script,
    replacements={
        "swap.make_invalid": make_valid,
        "swap.make_valid": make_valid,
        "swap_io.take_finished": take_finished,
    },
)
