"""L38: what a process is going to wait for lies in one slot, which says where, but not since when."""

from __future__ import annotations

from threading import local

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_BUSY
from vmcore.structs import VmPage
from vmcore.vm import Vm

_process = local()


def PAGE_ASSERT_WAIT(vm: Vm, page: VmPage) -> int:  # noqa: N802 - the historic macro's name
    """As the repaired step, but what is remembered is the channel alone.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    _process.slot = page
    intent: int = original("page_wait.PAGE_ASSERT_WAIT")(vm, page)
    return intent


def thread_block(vm: Vm, page: VmPage, intent: int) -> None:  # noqa: ARG001
    """As the repaired step, for whatever the slot says; a wakeup that came meanwhile is lost.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: yes (until the page's owner wakes us).
    """
    wanted: VmPage = _process.slot
    vm.point("about to block", wanted.slot)
    guard = vm.page_queue_lock.offset
    late = wanted.chan.intend()
    wanted.chan.block_until(late, "thrd_block", until=(wanted, "flags_o", "clear", PG_BUSY), guard=guard)


def scene(scene: Scene) -> None:
    """B's page is in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.swap_out("B")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.expect("P", 0, 1), "G": lambda scene: scene.expect("P", 0, 1)},
    cues=(
        ("G", "enter fault_search.page_in(B)"),  # the page is busy
        ("F", "start"),
        ("F", "at about to block"),  # and WANTED; nothing is locked
        ("G", "enter pager.vm_pager_get_pages"),
        ("G", "end"),
        ("F", "point about to block"),
    ),
)

defect = Defect(
    id="L38",
    name="wait-slot-overwritten",
    origin="reconstructed",
    quote="assert_wait writes an event to the process, and everything that sleeps uses the same field",
    interleaving=(
        "F: page m is busy: assert_wait(m); m is WANTED; F lets go of its locks   []",
        "G: is done with m: clears BUSY and WANTED, wakes: no thread sleeps there yet",
        "F: whatever it had to wait for in order to let go is over; thread_block: sleeps on m",
        "no thread will wake F: m is neither busy nor WANTED",
    ),
    symptom="a process sleeps for ever in a page fault, on a page that no thread owns",
    verdicts=("lost_wakeup",),
    scenario="fork-storm",
    replacements={
        "page_wait.PAGE_ASSERT_WAIT": PAGE_ASSERT_WAIT,
        "page_wait.thread_block": thread_block,
    },
    script=script,
    notes=(
        "In docs/reference the slot is lost because the process sleeps somewhere else before it blocks.  R "
        "does not: between the two calls it only unlocks.  So no other wait overwrites the slot here; it is "
        "written anew at the block, and a wakeup from before that is lost all the same.  The other outcome, "
        "a sleep on the wrong channel, is not shown."
    ),
)
