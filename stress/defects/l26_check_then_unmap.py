"""L26: a page is tested for stores first, and unmapped after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import PG_CLEAN, PG_LAUNDRY, VM_PROT_NONE
from vmcore.page import vm_page_free
from vmcore.page_flags import clear_flags_o, set_flags_p
from vmcore.pageout import FREED, MOVED
from vmcore.pmap import pmap_is_modified, pmap_page_protect
from vmcore.structs import VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def free_clean_page(vm: Vm, page: VmPage) -> int:
    """As the repaired step, but the modify bit is looked at while stores are still possible.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap, pool, page hash, free list.
    Sleeps: never.
    """
    if pmap_is_modified(vm, page):
        clear_flags_o(vm, page, PG_CLEAN)
        set_flags_p(vm, page, PG_LAUNDRY)
        return MOVED
    vm.point("tested, still mapped", page.slot)
    pmap_page_protect(vm, page, VM_PROT_NONE)
    vm_page_free(vm, page)
    vm.me.stats.v_dfree += 1
    return FREED


defect = Defect(
    id="L26",
    name="check-then-unmap",
    origin="reconstructed",
    quote="the daemon asks whether a page is clean, and takes its mappings away only then",
    interleaving=(
        "D: an inactive page: referenced? no.  modified? no   [queue, object]",
        "P: stores to it through a mapping that is still there: referenced and modified now",
        "D: removes the mappings and frees the page: the store is lost",
    ),
    symptom="a store that has succeeded is gone: the page comes back from the pager as it was before",
    verdicts=("wrong_data",),
    scenario="long-lived-parent",
    replacements={"vmcore.pageout.free_clean_page": free_clean_page},
)
