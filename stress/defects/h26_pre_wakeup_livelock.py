"""H26: threads that wait for memory are woken before the page is written, and take what the write needs."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.oracles.at_rest import InvariantViolated
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.vm_wait import VM_WAIT, wake_memory_waiters
from vmcore.pageout.pageout import FAILED, WRITTEN
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def put(vm: Vm, pages: list[VmPage], object: VmObject) -> int:
    """As the repaired step, but first all memory waiters are woken, as if there were memory.

    Enter:  object locked; vm.page_queue_lock unlocked.
    Exit:   object unlocked; vm.page_queue_lock unlocked.
    Takes:  any.
    Sleeps: yes (a file's write).
    """
    vm.pages_needed_lock.acquire()
    wake_memory_waiters(vm, no_memory=False)
    vm.pages_needed_lock.release()
    result: int = original("pageout_page.put")(vm, pages, object)
    return result


def scan_page(vm: Vm, page: VmPage) -> int:
    """As the repaired step, but a page-out that was tried is one that was made.

    Enter:  vm.page_queue_lock locked.
    Exit:   vm.page_queue_lock locked, dropped in between.
    Takes:  any.
    Sleeps: yes (a file's write).
    """
    fate: int = original("pageout.scan_page")(vm, page)
    return WRITTEN if fate == FAILED else fate


PATIENCE = 16


def scene(scene: Scene) -> None:
    """Every frame is W's but the reserve, and there is one page of swap: no frame can be freed."""
    scene.fill("W")


def hope(scene: Scene) -> None:
    """Wait for memory until told that there is none.  InvariantViolated."""
    for _ in range(PATIENCE):
        if not VM_WAIT(scene.vm):
            return
    free = scene.vm.g.v_free_count
    raise InvariantViolated([f"{PATIENCE} times there was said to be memory, and {free} frames are free"])


script = Script(
    scene=scene,
    roles={"F": hope, "G": hope},
    cues=(
        ("F", "enter vm_wait.VM_WAIT"),
        ("G", "enter vm_wait.VM_WAIT"),
        ("pageout", "enter pageout.vm_pageout_scan"),
    ),
    pages=32,
    tables={"swap_pages": 1},
)

defect = Defect(
    id="H26",
    name="pre-wakeup-livelock",
    origin="documented",
    quote="memory waiters were woken before the page was put, and page-outs counted that did not succeed",
    interleaving=(
        "F, G: wait for memory",
        "D: wakes them and begins to put a page",
        "F, G: try again: nothing is free yet; they take the little there is, and wait again",
        "D: the put lacks a frame, or swap space, and fails; the next round does the same",
    ),
    symptom="a system that is short of memory is busy for ever, and no thread is told that there is none",
    verdicts=("livelock", "invariant_violation"),
    scenario="exhaustion",
    notes=(
        "R may end the round by telling a waiter that there is no memory: a refusal counts as the finding, "
        "as it does for H27, and so does a waiter that is told again and again that there is some."
    ),
    replacements={"pageout_page.put": put, "pageout.scan_page": scan_page},
    script=script,
)
