"""A12: a clean page and its copy in swap hold the same bytes.

This is the one part of the audit that reads a file, and it goes around ``vm.io``: a
check must not meet injected delays and errors, nor count as a transfer.
"""

from __future__ import annotations

import os

from harness.shm.facts import Fact
from vmcore.audit.pages import memq
from vmcore.audit.swap import blocks_of
from vmcore.constants import PG_CLEAN, PG_FAKE, PG_SWAP, PV_MODIFIED
from vmcore.structs import Pager, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import Facts


def audit_contents(vm: Vm) -> list[Fact]:
    """A12 for every resident clean page of an object with a swap pager."""
    bad = Facts()
    for object in vm.objects.live():
        pager = vm.pagers(object.pager) if object.pager else None
        if pager is None or pager.pg_type != PG_SWAP:
            continue
        places = swapped_at(vm, pager)
        for page in memq(vm, object):
            where = places.get((page.offset + object.paging_offset) // vm.page_size)
            if where is None or not clean(vm, page):
                continue
            stored = os.pread(vm.swap_fd, vm.page_size, where * vm.page_size)
            if stored != vm.frame(page.slot):
                at = next(
                    i for i, byte in enumerate(vm.frame(page.slot)) if stored[i : i + 1] != bytes([byte])
                )
                bad.add(
                    "A12",
                    f"page {page.slot} of object {object.slot} at {page.offset:#x} is CLEAN, "
                    f"but differs from swap page {where} at byte {at}",
                    object,
                    page,
                )
    return bad


def swapped_at(vm: Vm, pager: Pager) -> dict[int, int]:
    """Page number in the pager -> page of the swap file, where it is valid."""
    found = {}
    for block in blocks_of(vm, pager):
        for bit in range(pager.sw_bsize):
            if block.swb_mask >> bit & 1:
                found[block.index * pager.sw_bsize + bit] = block.swb_block + bit
    return found


def clean(vm: Vm, page: VmPage) -> bool:
    """CLEAN after folding in what the hardware knows: no mapping, past or present, has modified it."""
    if not page.flags_o & PG_CLEAN or page.flags_o & PG_FAKE or page.pv_bits & PV_MODIFIED:
        return False
    views, slot = vm.mappings.views, page.pv_first
    for _ in range(len(views)):
        if not slot:
            break
        if views[slot].bits & PV_MODIFIED:
            return False
        slot = views[slot].pv_next
    return True
