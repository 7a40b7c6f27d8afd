"""Sleepers that no thread wakes: the condition is true, or there is no thread left that could make it so."""

from harness.locks.waitgraph import Edge
from harness.watch import kernel
from harness.watch.causes.causes import forgotten
from harness.watch.detectors.history import History, Limits
from harness.watch.records import SeatFacts, Snapshot, Suspicion, WaitFact
from harness.watch.wait_edges import LOCKS

PAST = ("idle", "parked", "join")  # a thread here has done what it had to


def lost(seat: SeatFacts, now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Asleep although its condition holds, and no wakeup came since it looked.

    Certain: the guard was released since, and the thread that changed the word is past it.  A wait with a
    limit may be polling on purpose, and a debugger may have the waker: both are only reported.
    """
    wait = seat.wait
    key = f"lost_wakeup:{seat.id}"
    if seat.torn:
        return []
    if wait is None or wait.kind != "sleep" or not wait.holds or not wait.unwoken or seat.dead:
        history.forget(key)
        return []
    if seat.state == "R":  # it runs already, to look at its condition or because it was woken
        return []
    fact = now.locks.get(wait.guard)
    turn = (fact.holder, fact.turn) if fact else (0, 0)
    seen = history.hold(key, now.taken_ns, seat.wait_seq)
    if seen.facts is None:
        seen.facts = turn
    free = turn[0] == 0 or turn != seen.facts
    traced = any(other.tracer for other in now.seats if not other.dead)
    if traced:
        seen.told = 0.0  # what a debugger holds up is no wait of the program
    proved = seen.looks > 1 and free and not wait.timed and _is_past(wait, now)
    lasting = seen.told >= limits.stall_s and not wait.timed
    return [
        Suspicion(
            verdict="lost_wakeup",
            key=f"{key}:{seat.wait_seq}",
            seats=[seat.number],
            why=forgotten(seat, wait),
            certain=proved or lasting,
            notice=history.clock - seen.first >= limits.waker_s,
            since_ns=now.taken_ns - int(wait.changed.age_s * 1e9) if wait.changed else seen.first_ns,
        )
    ]


def _is_past(wait: WaitFact, now: Snapshot) -> bool:
    """Can the thread that changed the word last no longer be on its way to the wakeup?

    A lock that it waits for is no end of its way: it may take another before it wakes.  A step is the
    promise that its wakeups are posted at its end.
    """
    change = wait.changed
    if change is None or not change.id:
        return False
    other = next((seat for seat in now.seats if seat.id == change.id), None)
    if other is None or other.dead:
        return True
    elsewhere = other.wait
    if elsewhere is not None and not other.torn:
        if elsewhere.kind in PAST:
            return True
        if elsewhere.kind == "sleep" and not elsewhere.timed and elsewhere.unwoken:
            return True
    return 0 < change.step <= other.steps


def none_left(now: Snapshot, graph: list[Edge], history: History, limits: Limits) -> list[Suspicion]:
    """Every thread that has the arena waits without limit for another one of them.

    Threads without a seat are counted before it is said (``Snapshot.outsiders``).
    """
    alive = [seat for seat in now.seats if not seat.dead]
    sleepers = [seat for seat in alive if seat.wait and seat.wait.kind == "sleep"]
    blocked = {edge.waiter for edge in graph}
    if not sleepers or any(not _for_good(seat, blocked) for seat in alive):
        history.forget("no thread")
        return []
    if any(seat.torn or seat.state != "S" for seat in alive):
        return []
    seen = history.hold("no thread", now.taken_ns, tuple((seat.id, seat.wait_seq) for seat in alive))
    if seen.told < limits.none_left_s:
        return []
    history.wants_census = True
    seat = max(sleepers, key=lambda one: one.wait.waited_s if one.wait else 0.0)
    wait = seat.wait
    assert wait is not None
    until = f" until {wait.predicate}" if wait.predicate else ""
    unseen = (
        f" (older than the arena, and not to be looked at: {', '.join(now.closed)})" if now.closed else ""
    )
    return [
        Suspicion(
            verdict="lost_wakeup",
            key=f"no thread:{seat.id}:{seat.wait_seq}",
            seats=[seat.number],
            why=f"{seat.name} sleeps in `{wait.wmesg}` on {wait.lock}{until}, "
            f"and no thread is left that could wake it{unseen}",
            certain=now.outsiders == [],
            since_ns=now.taken_ns - int(min(one.wait.waited_s for one in alive if one.wait) * 1e9),
        )
    ]


def _for_good(seat: SeatFacts, blocked: set[int]) -> bool:
    """Does it wait without limit inside our locks, and nothing there lets it go on?"""
    wait = seat.wait
    if wait is None or wait.timed or seat.state in kernel.STOPPED:
        return False
    if wait.kind == "sleep":
        return wait.unwoken
    if wait.kind == "parked":  # what may open its gate is counted with the threads without a seat
        return wait.returned
    return (wait.kind in LOCKS or wait.kind == "join") and seat.number in blocked
