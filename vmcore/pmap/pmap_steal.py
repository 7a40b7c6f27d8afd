"""The table of mappings is full: a mapping is taken away, which a fault can make again.

Records are not reserved.  A mapping is a cache of what the maps say, so any unwired one may go.  To find
one, every frame's list is walked under its pv lock, and each mapping is looked at under the lock of its
pmap too: only there is ``wired`` true, and stays so until the mapping is unlinked.

A walk over all frames is not one moment.  While it goes on, other threads free records and make new
mappings behind it, so a walk that has found nothing says nothing by itself.  But a record that is not
free is on exactly one frame's list whenever that frame's pv lock is free (``link`` and ``unlink`` run
under it).  So if the walk has met fewer wired mappings than there are records, some record was free, or
moved, while it went on: the caller looks again, and another thread has made progress.  If it has met as many,
all of them are wired, and only then the table is too small.
"""

from __future__ import annotations

from harness.errors import TableFull
from harness.locks.contract import contract
from vmcore.config import OPTIONS
from vmcore.constants import PV_LOCKS
from vmcore.pmap.pmap_lists import remove_mapping, unlink
from vmcore.structs import Pmap, VmPage
from vmcore.vm import Vm

STOLEN = -1  # steal_from_frame: dropped one


@contract
def steal_mapping(vm: Vm, pmap: Pmap) -> None:
    """Forget an unwired mapping: one of this pmap if it has one, else one of any other.

    Perhaps none is stolen because a record has become free meanwhile: the caller tries again.  Only
    when all are wired is it an error, which names the option.

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
        # Another thread of the space may wire it before we have both locks.
        remove_mapping(vm, pmap, va, frame, spare_wired=True)
        return
    wired = 0
    for page in vm.pages.views[1:]:
        seen = steal_from_frame(vm, page)
        if seen == STOLEN:
            return
        wired += seen
    if wired >= vm.config.mappings:
        raise TableFull("vm_mappings", vm.config.mappings, OPTIONS["mappings"])


@contract
def steal_from_frame(vm: Vm, page: VmPage) -> int:
    """Drop one unwired mapping of this frame, of whatever pmap: STOLEN; else how many it has, all wired.

    The pv lock keeps the other pmap alive: before a pmap goes, its mappings do, and
    each of them needs the pv lock of its frame.

    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    views, pmaps, wired = vm.mappings.views, vm.pmaps.views, 0
    pv = vm.pv_locks[page.slot % PV_LOCKS]
    pv.acquire()
    slot = page.pv_first
    while slot:
        mapping = views[slot]
        victim = pmaps[mapping.pmap]
        victim.lock.acquire()
        stolen = not mapping.wired
        if stolen:
            unlink(vm, victim, page, mapping)
        victim.lock.release()
        if stolen:
            break
        wired += 1
        slot = mapping.pv_next
    pv.release()
    return STOLEN if slot else wired
