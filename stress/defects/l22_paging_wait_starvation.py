"""L22: msync waits until nobody pages on the object, however long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.object_paging import vm_object_paging_sleep
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def drain_paging(vm: Vm, object: VmObject) -> None:
    """As the repaired step, without a bound.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    while object.paging_in_progress:
        vm_object_paging_sleep(vm, object, "vospgc")
        object.lock.acquire()
        if object.paging_in_progress:
            vm.native.failure()  # somebody was faster: once more


defect = Defect(
    id="L22",
    name="paging-wait-starvation",
    origin="reconstructed",
    quote="page_clean and terminate need a paging count of zero at the instant at which they run",
    interleaving=(
        "F, G, H: page faults on O, one after another: its paging count is hardly ever zero",
        "A: page_clean(O): sleeps in vospgc; F ends: zero: A is woken",
        "G: begins before A has O's lock: the count is 1 again: A sleeps on",
    ),
    symptom="an msync that never ends while others use the memory",
    verdicts=("livelock", "stall"),
    scenario="shared-msync",
    entry="short",
    notes=(
        "Chance hardly shows it: to be called a livelock an msync must be overtaken for many seconds "
        "without a gap, and four workers leave gaps.  The entry has no numbered steps, and there is no "
        "script, because a livelock is called one only after those seconds."
    ),
    replacements={"vmcore.object_pages.drain_paging": drain_paging},
)
