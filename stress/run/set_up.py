"""The set-up of a world has a limit: one that never ends is a finding like any other.

No supervisor and no watchdog is there yet, so the front process watches itself: an interval timer interrupts
the main thread, also in a native wait, and a handler counts attended time.  When the limit is passed it
writes the dump while the set-up is still where it hangs, and breaks it off with a ``SetUpHung``.

Guarantees: time in which the process was stopped does not count, nor (within reason) time in which it wanted
a processor and another program had it; the timer and the handler that were there before are put back.  A
thread that is not the main one gets no signals: there the set-up has no limit.
"""

from __future__ import annotations

import os
import signal
import sysconfig
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, Self

from harness.clock import WatchedClock
from harness.locks import contract
from harness.outcome import Finding
from harness.run.evidence import place_of
from harness.run.process_control import in_main_thread
from harness.run.scheduling import queued_s
from harness.shm.arena import Arena
from harness.watch.snapshot import Reader, take
from stress.run.opening import OwnFindings
from stress.run.world import World

TICK_S = 0.25
MOST_TIMES = 10  # the limit, also for a set-up that gets no processor
AGAIN_S = 1.0  # a clean-up on the way out may hang as well: it is broken off, too
INSTRUMENT = str(Path(__file__).resolve().parents[2] / "harness")
LIBRARIES = (sysconfig.get_paths()["stdlib"], "<")


class SetUpHung(BaseException):
    """The limit is passed.  No ``Exception``: what is set up must not take it for an error of its own."""


class SetUp:
    """``with SetUp(own) as limit: ...``; SetUpHung out of the middle of it."""

    def __init__(self, own: OwnFindings) -> None:
        self.own, self.options = own, own.options
        self.arena: Arena | None = None
        self.finding: Finding | None = None
        self.busy = True  # the handler does nothing now
        self.before: tuple[Any, tuple[float, float]] | None = None

    def saw(self, arena: Arena) -> None:
        """This is the arena that is being set up."""
        self.arena = arena

    def close(self, world: World | None) -> None:
        """Give back what was set up, as far as it came."""
        if world is not None:
            world.close()
        elif self.arena is not None:
            contract.unbind()
            self.arena.close()

    def __enter__(self) -> Self:
        self.clock = WatchedClock()
        self.begun = self.told = self.clock.now()
        self.queued = self._queued()
        self.busy = False
        if in_main_thread():
            handler = signal.signal(signal.SIGALRM, self._tick)
            self.before = (handler, signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S))
        return self

    def __exit__(self, *_error: object) -> None:
        self.busy = True
        if self.before is None:
            return
        handler, (left, every) = self.before
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # what was asked for before us is late, not lost
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - self.clock.now() + self.begun), every)

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        """One tick, in the middle of whatever the main thread does."""
        now = self.clock.now()
        if self.busy or not self._is_late(now - self.begun):
            return
        if self.finding is None:
            self.busy = True
            self.finding = self._picture(frame)
            self.busy = False
        elif self.clock.now() - self.told < AGAIN_S:
            return
        self.told = self.clock.now()
        raise SetUpHung

    def _is_late(self, spent: float) -> bool:
        """Is the limit passed, waits for a processor left out, or MOST_TIMES the limit with all waits?"""
        limit = self.options.setup_limit
        return spent - (self._queued() - self.queued) >= limit or spent >= MOST_TIMES * limit

    def _queued(self) -> float:
        """Seconds that the main thread has waited for a processor."""
        return queued_s(os.getpid(), os.getpid())

    def _picture(self, frame: FrameType | None) -> Finding:
        """The finding, while the thread is still there."""
        stack = [
            f"{one.filename}:{one.lineno} {one.name}" for one in reversed(traceback.extract_stack(frame))
        ]
        why = f"{self.options.what} was not set up within {self.options.setup_limit:g} s: set-up "
        doing, line = self._doing(), innermost(stack)
        why += doing if line in doing else f"{doing}, at {line}"
        seats = [self.arena.native.seat()] if self.arena is not None else []
        return self.own.record(self.arena, "hung", why, seats, stack, ("set-up",))

    def _doing(self) -> str:
        """What it waits for, as far as that can be read."""
        if self.arena is None:
            return "did not end"
        mine = self.arena.native.seat()
        facts = next((one for one in take(Reader(self.arena)).seats if one.number == mine), None)
        return place_of(facts) if facts is not None else "did not end"


def innermost(stack: list[str]) -> str:
    """The line of the program: not of our locks, and not of a library."""
    ours = (line for line in stack if not line.startswith((INSTRUMENT, *LIBRARIES)))
    return next(ours, stack[0] if stack else "an unknown line")
