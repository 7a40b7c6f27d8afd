"""H21: a page-out that the pager puts off is waited for with the object and the queues locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import original
from stress.defect import Defect
from vmcore.constants import VM_PAGER_AGAIN
from vmcore.pageout import AGAIN_S, nap
from vmcore.structs import VmObject, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def settle(vm: Vm, page: VmPage, object: VmObject, result: int, target: bool = True) -> None:
    """As the repaired step, but the shortage is slept over here.

    Enter:  object locked; vm.page_queue_lock locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (shortly).
    """
    if target and result == VM_PAGER_AGAIN:
        vm.pages_needed_lock.acquire()
        nap(vm, AGAIN_S)
    original("vmcore.pageout_page.settle")(vm, page, object, result, target)


defect = Defect(
    id="H21",
    name="sleep-with-locks",
    origin="documented",
    quote="unlock the object and the page queues before the sleep of a page-out that must be retried",
    interleaving=(
        "D: page-out of a page of O: the pager is short of something: AGAIN   [O, queue]",
        "D: sleeps until it may be better   [O, queue]",
        "everybody who faults waits for the queue lock; who could help waits for O",
    ),
    symptom="everything stands still for a moment at each shortage, or for ever",
    verdicts=("contract_violation", "order_violation", "deadlock", "stall", "frozen"),
    scenario="disk-trouble",
    entry="short",
    replacements={"vmcore.pageout_page.settle": settle},
)
