"""L43: the shutdown locks objects under the list of them, and leaves their pagers' names behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.object_cache import cache_clear
from vmcore.pager import vm_pager_deallocate

if TYPE_CHECKING:
    from vmcore.vm import Vm


def vm_object_shutdown(vm: Vm) -> int:
    """As the historic one: nobody is asked whether he still runs, and no object is told."""
    cache_clear(vm)
    gone, pagers = 0, []
    vm.object_list_lock.acquire()
    slot = vm.g.object_list_first
    while slot:
        found = vm.objects.views[slot]
        found.lock.acquire()
        if found.pager:
            pagers.append(vm.pagers(found.pager))
        found.lock.release()
        slot = found.object_list_next
    vm.object_list_lock.release()
    for pager in pagers:
        vm_pager_deallocate(vm, pager)
        gone += 1
    return gone


defect = Defect(
    id="L43",
    name="shutdown-races",
    origin="reconstructed",
    quote="vm_object_shutdown walks the object list with its lock, locks each object, and frees its pager",
    interleaving=(
        "S: the machine goes down: locks the list of objects, and then each object   [list, O]",
        "T: a termination has its object locked and wants the list   [O]: the other way round",
        "S: frees O's pager; O still names it",
        "P: leaves, and its last reference to O parts with that pager again",
    ),
    symptom="a hang at shutdown, or a pager that is given back twice",
    verdicts=(
        "order_violation",
        "contract_violation",
        "invariant_violation",
        "unguarded_access",
        "panic",
        "deadlock",
        "crash",
    ),
    scenario="closing-time",
    replacements={"vmcore.shutdown.vm_object_shutdown": vm_object_shutdown},
)
