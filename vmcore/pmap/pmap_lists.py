"""One mapping, on the lists of its pmap and of its frame: find, link, unlink.

Both lists change together, with the pv lock of the frame and then the pmap lock held.  The list of
the pmap is read under its lock alone, that of the frame under the pv lock alone.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PV_LOCKS
from vmcore.structs import Mapping, Pmap, VmPage
from vmcore.vm import Vm

BUCKETS: int = Pmap.buckets.size // 4


def find(vm: Vm, pmap: Pmap, va: int) -> Mapping | None:
    """The mapping of a page-aligned address; pmap lock held."""
    views = vm.mappings.views
    slot = vm.pmap_buckets[pmap.slot][(va >> vm.page_shift) % BUCKETS]
    while slot:
        mapping: Mapping = views[slot]
        if mapping.va == va:
            return mapping
        slot = mapping.hash_next
    return None


def link(vm: Vm, pmap: Pmap, va: int, page: VmPage, prot: int, wired: bool) -> bool:
    """Make a mapping; pv and pmap lock held, the address is not mapped.  False: no record left."""
    mapping = vm.mappings.allocate()  # fields are zero, and the head of a list has no predecessor
    if mapping is None:
        return False
    views, slot = vm.mappings.views, mapping.slot
    mapping.va = va
    mapping.pmap = pmap.slot
    mapping.frame = page.slot
    mapping.prot = prot
    if wired:
        mapping.wired = 1
    buckets = vm.pmap_buckets[pmap.slot]
    bucket = (va >> vm.page_shift) % BUCKETS
    mapping.hash_next = buckets[bucket]
    buckets[bucket] = slot
    first = pmap.first
    mapping.pmap_next = first
    if first:
        views[first].pmap_prev = slot
    pmap.first = slot
    pmap.count += 1
    first = page.pv_first
    mapping.pv_next = first
    if first:
        views[first].pv_prev = slot
    page.pv_first = slot
    return True


def unlink(vm: Vm, pmap: Pmap, page: VmPage, mapping: Mapping) -> None:
    """Drop a mapping and keep its bits in the page; pv and pmap lock held."""
    views, slot = vm.mappings.views, mapping.slot
    page.pv_bits |= mapping.bits
    buckets = vm.pmap_buckets[pmap.slot]
    bucket = (mapping.va >> vm.page_shift) % BUCKETS
    at = buckets[bucket]
    if at == slot:
        buckets[bucket] = mapping.hash_next
    else:
        while views[at].hash_next != slot:
            at = views[at].hash_next
        views[at].hash_next = mapping.hash_next
    following, previous = mapping.pmap_next, mapping.pmap_prev
    if following:
        views[following].pmap_prev = previous
    if previous:
        views[previous].pmap_next = following
    else:
        pmap.first = following
    pmap.count -= 1
    following, previous = mapping.pv_next, mapping.pv_prev
    if following:
        views[following].pv_prev = previous
    if previous:
        views[previous].pv_next = following
    else:
        page.pv_first = following
    vm.mappings.free(mapping)


@contract
def remove_mapping(vm: Vm, pmap: Pmap, va: int, frame: int, spare_wired: bool = False) -> bool:
    """Unmap the address if it still maps this frame, and is not one to spare.

    The caller has looked at it under a pmap lock that it dropped since.  ``spare_wired`` leaves a
    mapping that another thread of the space has wired meanwhile.

    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    lock, pv = pmap.lock, vm.pv_locks[frame % PV_LOCKS]
    pv.acquire()
    lock.acquire()
    mapping = find(vm, pmap, va)
    found = mapping is not None and mapping.frame == frame and not (spare_wired and mapping.wired)
    if mapping is not None and found:
        unlink(vm, pmap, vm.pages.views[frame], mapping)
    lock.release()
    pv.release()
    return found
