"""Quiescent invariants of copy-objects: no thread may write what was not pushed."""

from __future__ import annotations

from harness.shm.facts import Fact
from vmcore.audit.maps import mappings
from vmcore.audit.pages import memq
from vmcore.constants import PG_SWAP, VM_PROT_WRITE
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import Facts, an_object


def audit_copies(vm: Vm) -> list[Fact]:
    """A13: a writable mapping of a copied object shows a page that its copy-object has."""
    bad = Facts()
    for pmap in vm.pmaps.live():
        for mapping in mappings(vm, pmap):
            page = vm.pages.views[mapping.frame]
            if not mapping.prot & VM_PROT_WRITE or not page.object:
                continue
            object = vm.objects(page.object)
            if object.copy and not pushed(vm, vm.objects(object.copy), page.offset):
                bad.add(
                    "A13",
                    f"pmap {pmap.slot} may write {mapping.va:#x} (page {page.slot} of object "
                    f"{object.slot}), which was not pushed to copy-object {object.copy & 0xFFFFFFFF}",
                    object,
                    an_object(object.copy & 0xFFFFFFFF),
                    page,
                )
    return bad


def pushed(vm: Vm, copy: VmObject, offset: int) -> bool:
    """Does the copy-object answer for this offset itself, or lie short of it?"""
    if offset >= copy.size or any(page.offset == offset for page in memq(vm, copy)):
        return True
    if not copy.pager:
        return False
    pager = vm.pagers(copy.pager)
    number = (offset + copy.paging_offset) // vm.page_size
    slot = pager.sw_first if pager.pg_type == PG_SWAP else 0
    while slot:
        block = vm.swap_blocks.views[slot]
        if block.index == number // pager.sw_bsize:
            return bool(block.swb_mask >> number % pager.sw_bsize & 1)
        slot = block.next
    return False
