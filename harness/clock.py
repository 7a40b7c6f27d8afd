"""Time behind one object that a test can replace; seconds everywhere.

``Clock`` is monotonic.  ``WatchedClock`` counts only time in which a watcher was there to
look: a process that was stopped (Ctrl-Z, SIGSTOP, a suspended machine) did not use up
any limit.  ``Deadline`` is a limit on either.  Nothing here sleeps or waits.
"""

import time

ATTENTION_S = 1.0  # a watcher that looks less often than this was not there


class Clock:
    """Seconds since an arbitrary moment; never goes back."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()


class ManualClock(Clock):
    """A clock that moves only by ``advance``."""

    def __init__(self, at: float = 0.0) -> None:
        self.at = at

    def now(self) -> float:
        """Where it was moved to."""
        return self.at

    def advance(self, seconds: float) -> None:
        """Move forward.  ValueError for a step back: clocks do not do that."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back {-seconds} s")
        self.at += seconds


class WatchedClock(Clock):
    """Another clock without the gaps in which nothing was watched.

    Between two calls of ``now`` at most ``attention_s`` count; the rest is left out and
    added up in ``missed_s``.  So it must be looked at more often than that, also when idle.
    """

    def __init__(self, clock: Clock | None = None, attention_s: float = ATTENTION_S) -> None:
        self.clock, self.attention_s = clock or Clock(), attention_s
        self.missed_s = 0.0
        self._last = self.clock.now()

    def now(self) -> float:
        """Seconds, without what was missed."""
        at = self.clock.now()
        self.missed_s += max(0.0, at - self._last - self.attention_s)
        self._last = at
        return at - self.missed_s


class Deadline:
    """A limit in seconds from now on; ``None`` is no limit."""

    def __init__(self, limit_s: float | None, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.limit_s = limit_s
        self.begun = self.clock.now()

    def left(self) -> float:
        """Seconds that are left, never below zero; infinite without a limit."""
        if self.limit_s is None:
            return float("inf")
        return max(0.0, self.begun + self.limit_s - self.clock.now())

    def passed(self) -> bool:
        """Tell whether it is over."""
        return self.left() == 0.0

    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock.now() - self.begun
