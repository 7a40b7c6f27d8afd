"""What the watcher remembers between looks.  Times are watched seconds: gaps are not in them."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

GRACE_S = 1.0  # what was not seen for so long begins anew


@dataclass(frozen=True)
class Limits:
    """Seconds of watched time: time in which the watcher itself did not run is not counted.

    ``stall_s``: one wait, and every notice that still holds: a finding.
    ``livelock_s``: failures and restarts of one operation that go on growing.
    ``frozen_s``: a holder or awaited worker that is stopped: a notice.
    ``waker_s``: a waker may be this late: a notice.  ``none_left_s``: all threads wait without limit.
    ``repair_s``: who was told of a death may take this long to repair what is in doubt.
    """

    stall_s: float = 30.0
    livelock_s: float = 15.0
    frozen_s: float = 2.0
    waker_s: float = 5.0
    none_left_s: float = 0.3
    repair_s: float = 5.0


@dataclass
class Seen:
    """One suspicion over time."""

    mark: Hashable
    first: float  # watched clock
    first_ns: int  # the arena's clock
    last: float
    looks: int = 1
    told: float = 0.0  # watched seconds in which it really was so, up to the last look
    facts: Any = None  # what the rule wants to compare with


@dataclass
class History:
    """Memory of the rules."""

    clock: float = 0.0
    seen: dict[str, Seen] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)  # ids of threads that a reported livelock includes
    wants_census: bool = False  # a rule waits for the count of threads without a seat
    dead_before: frozenset[int] = frozenset()  # ids of seats that were dead before this run began

    def hold(self, key: str, now_ns: int, mark: Hashable = None, grace: float = GRACE_S) -> Seen:
        """It is so at this look.  Another mark, or too long a pause, begins anew."""
        old = self.seen.get(key)
        if old is None or old.mark != mark or self.clock - old.last > grace:
            old = self.seen[key] = Seen(mark, self.clock, now_ns, self.clock)
            return old
        old.told += self.clock - old.last
        old.last = self.clock
        old.looks += 1
        return old

    def forget(self, key: str) -> None:
        """It is not so at this look."""
        self.seen.pop(key, None)

    def prune(self, longest: float) -> None:
        """What has not been so for long."""
        for key in [key for key, seen in self.seen.items() if self.clock - seen.last > longest]:
            del self.seen[key]
