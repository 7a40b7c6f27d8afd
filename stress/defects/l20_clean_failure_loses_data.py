"""L20: a page that could not be written is called clean, so that nobody tries again for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import PG_CLEAN, VM_PAGER_PEND
from vmcore.object_pages import own_for_write, take_back
from vmcore.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page_flags import set_flags_o
from vmcore.pager import vm_pager_put_pages
from vmcore.pmap import pmap_clear_modify
from vmcore.structs import VmObject, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def write_page(vm: Vm, object: VmObject, page: VmPage, sync: bool, dequeue: bool, terminating: bool) -> int:
    """As the repaired step, but clean whatever the pager says.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the write).
    """
    pager = vm.pagers(object.pager)
    came_from = own_for_write(vm, page)
    vm_object_paging_begin(vm, object, terminating)
    object.lock.release()
    result: int = vm_pager_put_pages(vm, pager, page, sync)
    object.lock.acquire()
    if result == VM_PAGER_PEND:
        return result
    set_flags_o(vm, page, PG_CLEAN)
    pmap_clear_modify(vm, page)
    take_back(vm, page, 0 if dequeue else came_from, dequeue)
    vm_object_paging_end(vm, object)
    return result


defect = Defect(
    id="L20",
    name="clean-failure-loses-data",
    origin="reconstructed",
    quote="after a write error page_clean marks the page clean: otherwise it would loop",
    interleaving=(
        "A: page_clean(O): the write of page m fails",
        "A: m is clean all the same",
        "D: finds m clean on the inactive queue and frees it",
        "whoever reads m gets what the pager has: an older page, or zeros",
    ),
    symptom="after a disk error, data are lost that were in memory all the time",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="disk-trouble",
    replacements={"vmcore.object_pages.write_page": write_page},
)
