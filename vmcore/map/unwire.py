"""The end of a wiring: mappings, pages, and the counts of entries.

A file of its own because an unmap, which knows nothing of faults, ends wirings too.
Nothing here waits for a page: what is wired is resident, and a hardware mapping that is
marked wired says which page the wiring counts in.  So the two change together, in one
section of the page-queue lock.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.map.map_clip import entries_between
from vmcore.map.map_entry import entry_share
from vmcore.page.page_queues import vm_page_unwire
from vmcore.pmap.pmap import pmap_change_wiring
from vmcore.pmap.pmap_lists import find
from vmcore.structs import Pmap, VmMap, VmMapEntry, VmPage
from vmcore.vm import Vm


@contract
def pmap_wired_page(vm: Vm, pmap: Pmap, va: int) -> VmPage | None:
    """The page that a wired mapping of the address reaches; None without such a mapping.

    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pmap.
    Sleeps: never.
    """
    pmap.lock.acquire()
    mapping = find(vm, pmap, va)
    page: VmPage | None = None
    if mapping is not None and mapping.wired:
        page = vm.pages.views[mapping.frame]
    pmap.lock.release()
    return page


@contract
def vm_fault_unwire(vm: Vm, map: VmMap, start: int, end: int) -> None:
    """Let go of the pages of a range that is wired throughout.

    Source: Mach vm/vm_fault.c, vm_fault_unwire.
    Enter:  vm.page_queue_lock unlocked (the map is locked).
    Exit:   same.
    Takes:  page queues, pmap.
    Sleeps: never.
    """
    pmap = vm.pmaps(map.pmap)
    vm.page_queue_lock.acquire()
    for va in range(start, end, vm.page_size):
        page = pmap_wired_page(vm, pmap, va)
        if page is None:
            raise Panic(f"vm_fault_unwire: {va:#x} of map {map.slot} has no wired page")
        pmap_change_wiring(vm, pmap, va, False)
        vm_page_unwire(vm, page)
    vm.page_queue_lock.release()


@contract
def vm_map_entry_unwire(vm: Vm, map: VmMap, entry: VmMapEntry, count: int, resident: bool = True) -> None:
    """Take ``count`` wirings off an entry; the last one lets the pages go.

    A wiring counts in the sharing map too.  There it goes together with the wired
    mappings: a fork that saw it gone first would leave a copy on demand behind, and the
    next store would replace a page that our mapping still shows.

    resident: False when the pages have been let go already, or were never wired.

    Source: Mach vm/vm_map.c, vm_map_entry_unwire.
    Enter:  map locked (write mode, or by the one wirer that undoes its work).
    Exit:   same.
    Takes:  sharing map, map hint, page queues, pmap.
    Sleeps: yes (the sharing map's lock).
    """
    share = entry_share(vm, entry) if entry.is_a_map else None
    if share is not None:
        share.lock.write()
        share.timestamp += 1
    if entry.wired_count == count and resident:
        vm_fault_unwire(vm, map, entry.start, entry.end)
    # After the mappings: a fault beside a wirer that undoes its work reads the map too, and one
    # that saw no wiring would enter an ordinary mapping in the place of a wired one.
    entry.wired_count -= count
    if share is not None:
        for inner in shared_part(vm, share, entry):
            inner.wired_count -= count
        share.lock.release()


def shared_part(vm: Vm, share: VmMap, entry: VmMapEntry) -> list[VmMapEntry]:
    """The entries of the sharing map that the wired entry covers; write-locked.

    The thread that wired the entry clipped them to its range, and a thread that clips a wired entry
    clips them too, so that a wiring never ends in the middle of one.
    """
    low, high = entry.offset, entry.offset + (entry.end - entry.start)
    found = entries_between(vm, share, low, high)
    if not found or found[0].start < low or found[-1].end > high:
        raise Panic(f"wired entry {entry.slot} ends within an entry of sharing map {share.slot}")
    return found
