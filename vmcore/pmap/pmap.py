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

from harness.locks.contract import contract
from vmcore.constants import PV_LOCKS, PV_MODIFIED, PV_REFERENCED, VM_PROT_NONE, VM_PROT_WRITE
from vmcore.pmap.coloring import count_conflict
from vmcore.pmap.pmap_lists import find, link, remove_mapping, unlink
from vmcore.pmap.pmap_steal import steal_mapping
from vmcore.structs import Pmap, VmPage
from vmcore.vm import Vm


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


@contract
def pmap_enter(vm: Vm, pmap: Pmap, va: int, page: VmPage, prot: int, wired: bool) -> None:
    """Map the address to the page; whatever it mapped before is replaced.

    The caller holds the lock of the page's object, so that no thread that unmaps the page
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
            # Another frame's list must change first, and no thread holds two pv locks.
            # So we have dropped both, unmap the old one, and look again.
            remove_mapping(vm, pmap, va, other)
        else:
            steal_mapping(vm, pmap)


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
    and an access that is just setting the bit is as good as one a moment later.  A caller
    that needs more than a moment's answer has taken the rights away first.
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
