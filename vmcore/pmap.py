"""Simulated hardware maps: which frame a virtual address reaches, and with what rights.

Every mapping is on two lists: its pmap's (guarded by the pmap lock) and its frame's
(guarded by the pv lock of the frame).  The order is pv, then pmap.  A mapping carries its
own referenced and modified bits, written by the access under the pmap lock alone; a
frame's bits are the saved ones in its page record *or* any mapping's, and removing a
mapping folds its bits into the page with both locks held.

``page_protect`` may visit every pmap that maps the frame: a pv entry keeps its pmap
alive, because destroying a pmap first removes its mappings through their pv locks.
The range operations on a pmap are in pmap_range.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import TableFull
from harness.locks.contract import contract
from vmcore.colours import count_conflict
from vmcore.config import OPTIONS
from vmcore.constants import PV_MODIFIED, PV_REFERENCED, VM_PROT_NONE, VM_PROT_WRITE
from vmcore.structs import Mapping, Pmap, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm

BUCKETS: int = Pmap.buckets.size // 4
PV_LOCKS = 64  # a lock per group of frames; no thread ever needs two of them


@contract
def pmap_create(vm: Vm) -> Pmap | None:
    """An empty pmap, or None when the table is full.

    Source: Mach vm/pmap.h, pmap_create.
    Enter:  anything.
    Exit:   same.
    Takes:  pool.
    Sleeps: never.
    """
    return vm.pmaps.allocate()  # its fields are zero: no mapping


# --- one mapping


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
def pmap_enter(vm: Vm, pmap: Pmap, va: int, page: VmPage, prot: int, wired: bool) -> None:
    """Map the address to the page; whatever it mapped before is replaced.

    The caller holds the lock of the page's object, so that nobody who unmaps the page
    in order to free it can be overtaken by a new mapping.

    Source: Mach vm/pmap.h, pmap_enter.
    Enter:  pmap unlocked (and the page's object locked).
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    frame, lock = page.slot, pmap.lock
    pv = vm.pv_locks[frame % PV_LOCKS]
    while True:
        pv.acquire()
        lock.acquire()
        mapping = find(vm, pmap, va)
        if mapping is None:
            done = link(vm, pmap, va, page, prot, wired)
            other = 0
        else:
            other = mapping.frame
            done = other == frame
            if done:
                mapping.prot = prot
                mapping.wired = wired
        if done and prot & VM_PROT_WRITE:
            count_conflict(vm, page, va)
        lock.release()
        pv.release()
        if done:
            return
        if other:
            # Another frame's list must change first, and nobody holds two pv locks.
            # So we have dropped both, unmap the old one, and look again.
            remove_mapping(vm, pmap, va, other)
        else:
            steal_mapping(vm, pmap)


@contract
def steal_mapping(vm: Vm, pmap: Pmap) -> None:
    """The table is full: forget an unwired mapping, whose user can fault it in again.

    One of our own if we have one, else anybody's.  Only when all are wired is it an
    error, which names the option.

    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    views = vm.mappings.views
    pmap.lock.acquire()
    slot = pmap.first
    while slot and views[slot].wired:
        slot = views[slot].pmap_next
    va, frame = (views[slot].va, views[slot].frame) if slot else (0, 0)
    pmap.lock.release()
    if slot:
        remove_mapping(vm, pmap, va, frame)
    elif not any(steal_from_frame(vm, page) for page in vm.pages.views[1:] if page.pv_first):
        raise TableFull("vm_mappings", vm.config.mappings, OPTIONS["mappings"])


@contract
def steal_from_frame(vm: Vm, page: VmPage) -> bool:
    """Drop one unwired mapping of this frame, whoever's it is; False: it has none.

    The pv lock keeps the other pmap alive: before a pmap goes, its mappings do, and
    each of them needs the pv lock of its frame.

    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    views, pv = vm.mappings.views, vm.pv_locks[page.slot % PV_LOCKS]
    pv.acquire()
    slot = page.pv_first
    while slot and views[slot].wired:
        slot = views[slot].pv_next
    if slot:
        victim = vm.pmaps.views[views[slot].pmap]
        victim.lock.acquire()
        # Its owner may have wired it since we looked.
        stolen = not views[slot].wired
        if stolen:
            unlink(vm, victim, page, views[slot])
        victim.lock.release()
    pv.release()
    return bool(slot) and stolen


@contract
def remove_mapping(vm: Vm, pmap: Pmap, va: int, frame: int) -> bool:
    """Unmap the address if it still maps this frame.

    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    lock, pv = pmap.lock, vm.pv_locks[frame % PV_LOCKS]
    pv.acquire()
    lock.acquire()
    mapping = find(vm, pmap, va)
    found = mapping is not None and mapping.frame == frame
    if mapping is not None and found:
        unlink(vm, pmap, vm.pages.views[frame], mapping)
    lock.release()
    pv.release()
    return found


@contract
def pmap_extract(vm: Vm, pmap: Pmap, va: int) -> VmPage | None:
    """The page that the address reaches, if any.

    Source: Mach vm/pmap.h, pmap_extract.
    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pmap.
    Sleeps: never.
    """
    pmap.lock.acquire()
    mapping = find(vm, pmap, va)
    page: VmPage | None = None if mapping is None else vm.pages.views[mapping.frame]
    pmap.lock.release()
    return page


@contract
def pmap_change_wiring(vm: Vm, pmap: Pmap, va: int, wired: bool) -> None:
    """Mark the mapping of the address wired or not; nothing happens without one.

    Source: Mach vm/pmap.h, pmap_change_wiring.
    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pmap.
    Sleeps: never.
    """
    pmap.lock.acquire()
    mapping = find(vm, pmap, va)
    if mapping is not None:
        mapping.wired = wired
    pmap.lock.release()


# --- all mappings of one frame


@contract
def pmap_page_protect(vm: Vm, page: VmPage, prot: int, spare_wired: bool = False) -> None:
    """Lower the rights of every mapping of the page; VM_PROT_NONE removes them.

    ``spare_wired`` leaves wired mappings as they are: a copy-on-write fault replaces
    the page for others, not for the entry that wired it.

    Source: Mach vm/pmap.h, pmap_page_protect.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    views, pmaps = vm.mappings.views, vm.pmaps.views
    pv = vm.pv_locks[page.slot % PV_LOCKS]
    pv.acquire()
    slot = page.pv_first
    while slot:
        mapping = views[slot]
        slot = mapping.pv_next  # before it is freed
        pmap = pmaps[mapping.pmap]
        lock = pmap.lock
        lock.acquire()
        if not (spare_wired and mapping.wired):
            if prot == VM_PROT_NONE:
                unlink(vm, pmap, page, mapping)
            else:
                mapping.prot &= prot
        lock.release()
    pv.release()


@contract
def pmap_is_modified(vm: Vm, page: VmPage) -> bool:
    """Was the page written to since the bit was last cleared?

    Source: Mach vm/pmap.h, pmap_is_modified.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv.
    Sleeps: never.
    """
    return test_bit(vm, page, PV_MODIFIED)


@contract
def pmap_is_referenced(vm: Vm, page: VmPage) -> bool:
    """Was the page used since the bit was last cleared?

    Source: Mach vm/pmap.h, pmap_is_referenced.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv.
    Sleeps: never.
    """
    return test_bit(vm, page, PV_REFERENCED)


@contract
def pmap_clear_modify(vm: Vm, page: VmPage) -> None:
    """Forget that the page was written to.

    Source: Mach vm/pmap.h, pmap_clear_modify.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    clear_bit(vm, page, PV_MODIFIED)


@contract
def pmap_clear_reference(vm: Vm, page: VmPage) -> None:
    """Forget that the page was used.

    Source: Mach vm/pmap.h, pmap_clear_reference.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    clear_bit(vm, page, PV_REFERENCED)


def test_bit(vm: Vm, page: VmPage, bit: int) -> bool:
    """Saved bits or any mapping's.

    A mapping's word is read without its pmap lock: the pv lock keeps the mapping alive,
    and an access that is just setting the bit is as good as one a moment later.  Who
    needs more than a moment's answer has taken the rights away first.
    """
    pv = vm.pv_locks[page.slot % PV_LOCKS]
    pv.acquire()
    found = page.pv_bits & bit
    slot = page.pv_first
    while slot and not found:
        mapping = vm.mappings.views[slot]
        found = mapping.bits & bit
        slot = mapping.pv_next
    pv.release()
    return bool(found)


def clear_bit(vm: Vm, page: VmPage, bit: int) -> None:
    """Saved bits and every mapping's; the word of a mapping only under its pmap lock."""
    pv = vm.pv_locks[page.slot % PV_LOCKS]
    pv.acquire()
    page.pv_bits &= ~bit
    slot = page.pv_first
    while slot:
        mapping = vm.mappings.views[slot]
        if mapping.bits & bit:
            lock = vm.pmaps.views[mapping.pmap].lock
            lock.acquire()
            mapping.bits &= ~bit
            lock.release()
        slot = mapping.pv_next
    pv.release()
