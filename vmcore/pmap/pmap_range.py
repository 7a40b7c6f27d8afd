"""Operations on a range of one hardware map, and its end.

A mapping can be removed only with the pv lock of its frame, which comes before the
pmap lock.  So a range is read under the pmap lock, that lock is dropped, and each
mapping is then removed by itself, if it is still there: the caller keeps faults of the
range away (map lock); page-outs may come first and do no harm.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.constants import VM_PROT_NONE
from vmcore.pmap.pmap_lists import find, remove_mapping
from vmcore.structs import Mapping, Pmap
from vmcore.vm import Vm


def mappings_in(vm: Vm, pmap: Pmap, start: int, end: int) -> list[Mapping]:
    """The mappings of [start, end); pmap lock held.  Walks whichever is shorter."""
    shift = vm.page_shift
    if (end - start) >> shift <= pmap.count:
        step = 1 << shift
        found = (find(vm, pmap, va) for va in range(start, end, step))
        return [mapping for mapping in found if mapping is not None]
    views, all_of_it = vm.mappings.views, []
    slot = pmap.first
    while slot:
        mapping = views[slot]
        if start <= mapping.va < end:
            all_of_it.append(mapping)
        slot = mapping.pmap_next
    return all_of_it


@contract
def pmap_remove(vm: Vm, pmap: Pmap, start: int, end: int) -> None:
    """Remove every mapping of the range.

    Source: Mach vm/pmap.h, pmap_remove.
    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    pmap.lock.acquire()
    pairs = [(mapping.va, mapping.frame) for mapping in mappings_in(vm, pmap, start, end)]
    pmap.lock.release()
    for va, frame in pairs:
        remove_mapping(vm, pmap, va, frame)


@contract
def pmap_protect(vm: Vm, pmap: Pmap, start: int, end: int, prot: int) -> None:
    """Lower the rights of every mapping of the range; never raises any.

    Without any rights left a mapping goes, but a wired one stays: it is how the end of
    the wiring finds the page.

    Source: Mach vm/pmap.h, pmap_protect.
    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    gone = []
    pmap.lock.acquire()
    for mapping in mappings_in(vm, pmap, start, end):
        mapping.prot &= prot
        if prot == VM_PROT_NONE and not mapping.wired:
            gone.append((mapping.va, mapping.frame))
    pmap.lock.release()
    for va, frame in gone:
        remove_mapping(vm, pmap, va, frame, spare_wired=True)


@contract
def pmap_destroy(vm: Vm, pmap: Pmap) -> None:
    """Remove all mappings, then free the record; no thread uses the pmap any more.

    Source: Mach vm/pmap.h, pmap_destroy.
    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    pmap_remove(vm, pmap, 0, 1 << 63)
    # A page_protect may still be about to let go of the lock: its mapping is gone from
    # the list before that.  Taking the lock once waits for it.
    pmap.lock.acquire()
    left = pmap.count
    pmap.lock.release()
    if left:
        raise Panic(f"pmap {pmap.slot} still has {left} mappings when it is destroyed")
    vm.pmaps.free(pmap)
