"""Fault injection: workers killed or stopped at seeded random moments.

Guarantees: the same seed gives the same moments, kinds and choices (which worker that
is depends on who is alive then); nothing before the workers were let go or after the end of the
run began; every signal is recorded, and a worker stopped by us is always continued.
"""

import math
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import BadInput, require, require_whole

MOST_PER_S = 1000.0  # more signals a second would be a load on the kernel and no fault of a worker


@dataclass(frozen=True)
class Faults:
    """How often, per second of the run, over all workers together.

    ``kills``: SIGKILL; ``stops``: SIGSTOP, and SIGCONT after a time within ``stop_s``.
    ``spare`` workers are never killed (0: all may be).  ``roles``: only these; empty: every
    role that is no service.  ``most``: how many in all; None: no limit.
    """

    kills: float = 0.0
    stops: float = 0.0
    stop_s: tuple[float, float] = (0.01, 0.2)
    spare: int = 1
    roles: tuple[str, ...] = ()
    most: int | None = None

    def __post_init__(self) -> None:
        """BadInput for rates and times that mean nothing."""
        for name, rate in (("kills", self.kills), ("stops", self.stops)):
            require(isinstance(rate, int | float), name, rate, "a number per second")
        require_whole("spare", self.spare, 0)
        require(isinstance(self.stop_s, tuple), "stop_s", self.stop_s, "two times")
        if self.most is not None:
            require_whole("most", self.most, 0)
        if not (self.kills >= 0 and self.stops >= 0):
            raise BadInput(f"faults cannot be negative: kills={self.kills}, stops={self.stops}")
        if self.kills + self.stops > MOST_PER_S:
            raise BadInput(
                f"kills={self.kills:g} and stops={self.stops:g} a second: at most {MOST_PER_S:g} in all"
            )
        if not math.isfinite(self.stop_s[1]) or not 0 < self.stop_s[0] <= self.stop_s[1]:
            raise BadInput(f"stop_s={self.stop_s} is no range of seconds")


@dataclass(frozen=True)
class Injection:
    """Send ``signal`` to the process of worker ``target``; ``stopped_s`` for a SIGSTOP: for how long."""

    target: int
    signal: int
    stopped_s: float = 0.0


class Injector:
    """Decides; the supervisor sends the signals.  Times are seconds since the workers were let go."""

    def __init__(self, faults: Faults | None, seed: int) -> None:
        self.faults = faults or Faults()
        self.rng = random.Random(seed)
        self.rate = self.faults.kills + self.faults.stops
        self.injections = 0
        self._next = self._after(0.0)
        self._continue: dict[int, float] = {}  # worker -> when it is to go on

    def _after(self, now: float) -> float:
        return now + self.rng.expovariate(self.rate) if self.rate else float("inf")

    def next_at(self) -> float:
        """When ``due`` should be asked again."""
        first = float("inf") if self._spent() else self._next
        return min([first, *self._continue.values()])

    def _spent(self) -> bool:
        return self.faults.most is not None and self.injections >= self.faults.most

    def due(self, now: float, alive: Sequence[int]) -> list[Injection]:
        """What is to be sent at ``now``; ``alive``: workers that may be hit."""
        injections = [Injection(n, signal.SIGCONT) for n, at in self._continue.items() if at <= now]
        for injection in injections:
            del self._continue[injection.target]
        while self._next <= now and not self._spent():
            self._next = self._after(self._next)
            if drawn := self._draw(now, alive):
                self.injections += 1
                injections.append(drawn)
                alive = [n for n in alive if n != drawn.target]
        return injections

    def _draw(self, now: float, alive: Sequence[int]) -> Injection | None:
        # Both are drawn before anything else is looked at: the sequence must not depend on it.
        kill = self.rng.random() * self.rate < self.faults.kills
        share, pause = self.rng.random(), self.rng.uniform(*self.faults.stop_s)
        able = [n for n in alive if n not in self._continue]
        if not able or (kill and len(alive) <= self.faults.spare):
            return None
        target = able[int(share * len(able))]
        if kill:
            return Injection(target, signal.SIGKILL)
        self._continue[target] = now + pause
        return Injection(target, signal.SIGSTOP, pause)

    def stopped(self) -> set[int]:
        """Workers that are stopped by us now."""
        return set(self._continue)

    def end(self) -> list[Injection]:
        """No more injections; every worker that is stopped goes on."""
        injections = [Injection(n, signal.SIGCONT) for n in self._continue]
        self._continue.clear()
        self._next = float("inf")
        return injections
