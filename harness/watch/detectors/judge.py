"""From facts to suspicions.  Pure: no clock, no arena, no memory but what is handed in.

*certain*: it follows from one snapshot, confirmed by a second: it ends a run.  *notice*: reported with
its evidence, without effect; it becomes certain when it still holds after ``stall_s``, and a
finding when it still holds at the end.  ``catalog`` says which is which.
"""

from harness.watch.detectors.deadlocks import deadlocks
from harness.watch.detectors.frozen import frozen
from harness.watch.detectors.history import History, Limits
from harness.watch.detectors.livelocks import MOST_RESTARTS, livelocks
from harness.watch.detectors.lost_wakeups import lost, none_left
from harness.watch.detectors.orphans import orphans
from harness.watch.detectors.stalls import rounds, stalls, watch_work
from harness.watch.records import Snapshot, Suspicion
from harness.watch.wait_edges import edges

__all__ = ["MOST_RESTARTS", "History", "Limits", "judge"]


def judge(now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Everything suspicious at this moment; the flags say what is to be done about it."""
    history.wants_census = False
    by_number = {seat.number: seat for seat in now.seats}
    graph = edges(now)
    watch_work(now, history)
    found = deadlocks(now, graph, by_number, history)
    found += orphans(now, graph, history, limits)
    found += frozen(now, graph, by_number, history, limits)
    for seat in now.seats:
        found += lost(seat, now, history, limits)
    explained = {number for one in found for number in one.seats}
    if not any(one.certain for one in found):
        found += none_left(now, graph, history, limits)
    retrying = rounds(now, graph, history, limits)
    found += retrying
    explained |= {number for one in retrying for number in one.seats}
    found += stalls(now, graph, history, limits, explained)
    found += livelocks(now, history, limits)
    history.prune(max(limits.stall_s, limits.livelock_s))
    return found
