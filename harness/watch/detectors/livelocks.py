"""One operation whose failures and restarts go on growing without its end.

A try that meets one lock again and again is a poll: a wait, of which ``stall`` tells.  It is no failure,
and neither is what ended with a lock (``SeatFacts.restarts``, from harness/locks/native/polled.c).
"""

from dataclasses import dataclass

from harness.watch.detectors.history import History, Limits
from harness.watch.records import SeatFacts, Snapshot, Suspicion

# Of one operation, before it may be called a livelock.  A thread that restarts because it met another gets
# through when that one is done, so a hundred times in one operation is never mere bad luck; and
# still they must go on for ``Limits.livelock_s`` without the operation's end.
MOST_RESTARTS = 100


@dataclass
class Restarts:
    """What one operation has failed so far."""

    first: int  # ``SeatFacts.restarts`` at the first look
    grew: float  # watched clock: when the count grew last
    since: float  # watched clock: since when it has taken no lock, as far as its failures tell
    spun: int = 0  # ``SeatFacts.spun`` at the last look
    every: int = 0  # with all that is spun
    count: int = 0

    def update(self, seat: SeatFacts, clock: float, limit_s: float) -> None:
        """One more look at it.  What a lock may still take back counts when it has lasted for the limit."""
        if seat.spun < self.spun:
            self.since = clock
        every = seat.restarts - self.first + seat.spun
        if every > self.every:
            self.grew = clock
        self.spun, self.every = seat.spun, every
        self.count = every - (0 if clock - self.since >= limit_s else seat.spun)


def livelocks(now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Those that go on failing; of several that make each other fail, one."""
    found = []
    for seat in now.seats:
        key = f"restarts:{seat.id}"
        resting = seat.wait is not None and seat.wait.kind in ("idle", "parked")
        if seat.dead or not seat.operation or resting:
            history.forget(key)
            continue
        seen = history.hold(key, now.taken_ns, seat.steps)
        if seen.facts is None:
            seen.facts = Restarts(seat.restarts, history.clock, history.clock)
        state = seen.facts
        state.update(seat, history.clock, limits.livelock_s)
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
