"""One operation whose failures and restarts go on growing without its end.

A try that meets one lock with a living holder is a poll: a wait, of which ``stall`` tells.  It is no
failure, neither while it lasts nor when it has come to its end.  What one look has excused stays excused.
Not excused is who polls a lock whose holder waits without limit for the one that polls.
"""

from dataclasses import dataclass

from harness.locks.waitgraph import Edge
from harness.watch.history import History, Limits
from harness.watch.records import PolledFact, SeatFacts, Snapshot, Suspicion

# Of one operation, before it may be called a livelock.  Who restarts because it met another thread gets
# through when that one is done, so a hundred times in one operation is never mere bad luck; and
# still they must go on for ``Limits.livelock_s`` without the operation's end.
MOST_RESTARTS = 100


@dataclass
class Restarts:
    """What one operation has failed so far, without its polls."""

    last: int  # ``SeatFacts.failures`` at the last look
    grew: float  # watched clock: when the count grew last
    count: int = 0
    lock: int = 0  # that it polled at the last look; 0: none
    polls: int = 0  # of it, at the last look
    kept: bool = False  # had a living thread that lock, at the last look?
    start: tuple[int, int, int] = (0, 0, 0)  # count, failures and polls when it began to be so

    def look(self, failures: int, polled: PolledFact | None, kept: bool, clock: float) -> None:
        """One more look at it; ``kept``: a living thread has the lock that it polls."""
        old = self.count
        same = polled is not None and polled.offset == self.lock and polled.polls >= self.polls
        if polled is not None and kept:
            if not (same and self.kept):
                self.start = (self.count, self.last, self.polls if same else 0)
            count, base, first = self.start
            # Over the whole poll, so that a try between our two reads is not counted at each look.
            self.count = count + max(0, failures - base - (polled.polls - first))
        elif not self.kept:  # else its last polls came to an end between the two looks
            self.count += failures - self.last
        self.last, self.kept = failures, kept
        self.lock, self.polls = (polled.offset, polled.polls) if polled is not None else (0, 0)
        if self.count > old:
            self.grew = clock


def livelocks(now: Snapshot, graph: list[Edge], history: History, limits: Limits) -> list[Suspicion]:
    """Those that go on failing; of several that make each other fail, one."""
    found = []
    behind = _behind(now, graph)
    for seat in now.seats:
        key = f"restarts:{seat.id}"
        resting = seat.wait is not None and seat.wait.kind in ("idle", "parked")
        if seat.dead or not seat.operation or resting:
            history.forget(key)
            continue
        seen = history.hold(key, now.taken_ns, seat.steps)
        if seen.facts is None:
            lock, polls = (seat.polled.offset, seat.polled.polls) if seat.polled else (0, 0)
            seen.facts = Restarts(seat.failures, history.clock, lock=lock, polls=polls)
        state = seen.facts
        state.look(seat.failures, seat.polled, _kept(seat, now, behind), history.clock)
        if history.clock - state.grew > limits.livelock_s / 4:
            history.forget(key)  # it got through what it met
            continue
        if seen.told < limits.livelock_s or state.count <= MOST_RESTARTS or seat.id in history.failing:
            continue
        history.failing |= {
            other.id
            for other in now.seats
            if other.id != seat.id and other.operation and _fails_too(other, history)
        }
        since = (now.taken_ns - seen.first_ns) / 1e9
        argument = f" ({seat.argument:#x})" if seat.argument else ""
        found.append(
            Suspicion(
                verdict="livelock",
                key=f"livelock:{seat.id}:{seat.steps}",
                seats=[seat.number],
                why=f"{seat.name} failed or restarted {state.count} times in one {seat.operation}{argument} "
                f"in {since:.1f} s without completing it",
                certain=True,
                since_ns=seen.first_ns,
            )
        )
    return found


def _fails_too(seat: SeatFacts, history: History) -> bool:
    """Is it in one operation that fails as often?"""
    seen = history.seen.get(f"restarts:{seat.id}")
    return seen is not None and seen.facts is not None and seen.facts.count > MOST_RESTARTS


def _behind(now: Snapshot, graph: list[Edge]) -> dict[int, set[int]]:
    """Seat -> seats that wait for it without limit, directly or not."""
    polling = [seat.number for seat in now.seats if seat.polled is not None]
    if not polling:
        return {}
    bound = {seat.number for seat in now.seats if seat.wait and not seat.wait.timed}
    edges = [(int(str(edge.waiter)), int(str(edge.holder))) for edge in graph if edge.hard]
    found: dict[int, set[int]] = {}
    for number in polling:
        rows, grown = {number}, 0
        while grown != len(rows):
            grown = len(rows)
            rows |= {waiter for waiter, holder in edges if holder in rows and waiter in bound}
        found[number] = rows - {number}
    return found


def _kept(seat: SeatFacts, now: Snapshot, behind: dict[int, set[int]]) -> bool:
    """Does another living thread have the lock that it polls, and may let it go while this one polls?"""
    fact = now.locks.get(seat.polled.offset) if seat.polled is not None else None
    if fact is None:
        return False
    holders = {
        other.number
        for other in now.seats
        if not other.dead and other.id != seat.id and other.id in (fact.holder, *fact.readers)
    }
    return bool(holders) and not holders & behind[seat.number]
