"""H19: msync leaves the page that it writes on its queue, and the daemon takes it from there."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE, PG_INACTIVE
from vmcore.page.page_wait import page_wakeup
from vmcore.structs import VmPage
from vmcore.vm import Vm


def leave_queue(vm: Vm, page: VmPage) -> int:  # noqa: ARG001
    """As the repaired step, but the page stays where it is, laundry and all.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return int(page.flags_p & (PG_ACTIVE | PG_INACTIVE))


def take_back(vm: Vm, page: VmPage, came_from: int, dequeue: bool) -> None:  # noqa: ARG001
    """As the repaired step; the page is on its queue already.

    Enter:  anything.
    Exit:   same.
    Takes:  page queues, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm.page_queue_lock.release()


def is_owned(vm: Vm, page: VmPage) -> bool:  # noqa: ARG001
    """The scan has no such test: every page on the queue is taken for the daemon's.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return False


def scene(scene: Scene) -> None:
    """P's page is inactive and dirty."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.age("O")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("O"), "D": lambda scene: scene.scan("O")},
    cues=(
        ("A", "enter pager.vm_pager_put_pages"),  # the page is A's
        ("D", "start"),
        ("D", "end"),
        ("A", "io swap_write"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H19",
    name="page-clean-vs-daemon",
    origin="documented",
    quote="page_clean must take a page off its queue, or the daemon finds it there while it is being written",
    interleaving=(
        "A: page_clean(O): page m is dirty: BUSY, its write begins, and it stays on the inactive queue   []",
        "D: the scan comes to m and writes it too, or finds it clean and frees it   [queue, O]",
        "A: the write ends: m is not A's any more, or not even O's",
    ),
    symptom="a page with two owners, or freed under its transfer",
    verdicts=("panic", "invariant_violation", "unguarded_access"),
    scenario="disk-trouble",
    options={"checked": True},
    replacements={
        "object_pages.leave_queue": leave_queue,
        "object_pages.take_back": take_back,
        "pageout.is_owned": is_owned,
    },
    script=script,
)
