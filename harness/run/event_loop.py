"""One thread that waits for many things: descriptors, pipes with unsent messages, timers.

The loop knows descriptors and times, and nothing of a run: who uses it gives it callbacks.

Guarantees: nothing blocks but the poll, and that never longer than ``turn`` was told to; callbacks come one
at a time, in the thread that called ``turn``.  A callback may add and remove readers, its own among them: one
that was removed is not called any more, also when its descriptor was ready in the same turn, and a new reader
of the same number is not called for what the old one's descriptor had.  What did not fit into a pipe goes out
when its peer has read.  An exception of a callback leaves ``turn``; the loop can be used after it.

Refuses: two readers of one descriptor (ValueError).
"""

import heapq
import itertools
import select
from collections.abc import Callable
from typing import Any

from harness.clock import Clock, Deadline
from harness.run.messages import Wire

TICK_S = 0.1
Callback = Callable[[], Any]


class Timer:
    """One call in the future, until it is made or cancelled."""

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """It is not called; nothing when it was called already."""
        self.callback = None


class EventLoop:
    """``clock``: of timers and limits.  ``after_turn``: called at the end of every turn."""

    def __init__(self, clock: Clock | None = None, after_turn: Callback | None = None) -> None:
        self.clock = clock or Clock()
        self._after_turn = after_turn
        self._poller = select.poll()
        self._readers: dict[int, Callback] = {}
        self._wires: dict[int, Wire] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()  # of timers for the same moment

    # --- what it waits for

    def add_reader(self, fd: int, ready: Callback) -> None:
        """Call ``ready`` in every turn in which there is something, or the end, to be read from ``fd``."""
        if fd in self._readers:
            raise ValueError(f"descriptor {fd} has a reader")
        self._readers[fd] = ready
        self._poller.register(fd, select.POLLIN)

    def add_wire(self, wire: Wire, ready: Callback) -> None:
        """A reader of the pipe's messages; what was posted and did not fit is sent on as well."""
        self.add_reader(wire.fd, ready)
        self._wires[wire.fd] = wire

    def remove_reader(self, fd: int) -> None:
        """Wait for it no more; nothing when there is none.  To be called before ``fd`` is closed."""
        self._wires.pop(fd, None)
        if self._readers.pop(fd, None):
            self._poller.unregister(fd)

    def call_at(self, when_s: float, callback: Callback) -> Timer:
        """Call it once, in the first turn that ends at ``when_s`` of the clock or later."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (when_s, next(self._order), timer))
        return timer

    # --- waiting

    def wait_until(
        self, done: Callable[[], Any], limit_s: float | None = None, every_s: float = TICK_S
    ) -> bool:
        """Turn until ``done()``, which is asked at least every ``every_s``; False: the limit passed first."""
        deadline = Deadline(limit_s, self.clock)
        while not done():
            if deadline.passed():
                return False
            self.turn(min(every_s, deadline.left()))
        return True

    def turn(self, timeout_s: float) -> None:
        """Wait until something is there, ``timeout_s`` at most; then call what is due."""
        self._send()
        timeout_s = max(0.0, min(timeout_s, self._next_timer() - self.clock.now()))
        ready = [(fd, self._readers[fd]) for fd, _ in self._poller.poll(timeout_s * 1000)]
        for fd, reader in ready:
            if self._readers.get(fd) is reader:  # an earlier one of this turn may have removed it
                reader()
        self._call_due(self.clock.now())
        if self._after_turn is not None:
            self._after_turn()

    def _send(self) -> None:
        """What was posted, as far as it fits; the poll ends when there is room for the rest."""
        for fd, wire in self._wires.items():
            if wire.pending:
                wire.flush()
            self._poller.modify(fd, select.POLLIN | (select.POLLOUT if wire.pending else 0))

    def _call_due(self, now: float) -> None:
        """Each timer that is due: a callback that asks for the same moment again gets the next turn."""
        for _ in range(len(self._timers)):
            if not self._timers or self._timers[0][0] > now:
                return
            _, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()

    def _next_timer(self) -> float:
        """When the next one is due; infinite when none is."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")
