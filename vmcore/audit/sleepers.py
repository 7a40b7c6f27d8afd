"""Q12: no thread is asleep or waits, except that services idle.

Both the sleepers of the channels and the activities of the seats are read: a thread that waits
for a mutex or a map lock sleeps on no channel.  Workers of a run are parked meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.shm.facts import Fact
from harness.shm.native import Channel
from harness.shm.roster import Roster
from vmcore.vm import Vm
from vmcore.vm_error import Facts, broken

RESTLESS = ("wait mutex", "wait read", "wait write", "wait upgrade", "sleeping")


def audit_sleepers(vm: Vm) -> list[Fact]:
    """Q12: channels and seats; and this thread owes no release (Q13)."""
    bad = Facts()
    for name, channel in channels(vm):
        row: Any = Channel.from_buffer(vm.arena.mapping, channel.offset)
        asleep = sum(int(word).bit_count() for word in row.asleep)  # a bit for each seat
        if asleep:
            bad.add("Q12", f"{asleep} asleep on {name}")
    if vm.g.memory_waiters:
        bad.add("Q12", f"{vm.g.memory_waiters} wait for memory")
    bad += [
        broken(
            "Q12",
            f"{row.role} (seat {row.number}) is in {row.activity}, in {row.operation or 'no operation'}",
        )
        for row in Roster(vm.arena).rows()
        if row.alive and row.activity in RESTLESS
    ]
    if vm.me.release_list:
        bad.add("Q13", f"{len(vm.me.release_list)} references left on this thread's release list")
    return bad


def channels(vm: Vm) -> Iterator[tuple[str, Any]]:
    """Every channel but those on which the services rest."""
    for kind, pool in (
        ("object", vm.objects),
        ("pager", vm.pagers),
        ("map", vm.maps),
        ("sharing map", vm.sharing_maps),
        ("vnode", vm.vnodes),
    ):
        for record in pool.live():
            yield f"{kind} {record.slot}", record.chan
    for page in vm.pages.views[1:]:
        yield f"page {page.slot}", page.chan
    yield "free memory", vm.free_chan
    yield "named pagers", vm.named_chan
