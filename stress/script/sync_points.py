"""Gates: workers of a script pass its named points in the order of the script, and only there.

A worker that comes to the point of its next cue waits until all cues before it have been passed.
It waits in a futex of the arena, with whatever locks it holds, and shows as being in a system call
that ends by itself: no thread waits for a lock there, so a circle among the others is still one.

A cue that can no longer come is noticed, not waited out: its role has ended, or every thread that is
not at a gate is stuck.  Then the script is *off the track*: all gates open, the run goes on, and
its end is judged like any other's.  The row keeps which cue it was.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from ctypes import Structure, c_uint8, c_uint32
from dataclasses import dataclass
from typing import Any

from harness.shm.arena import Arena
from harness.shm.layout import guarded
from harness.shm.names import role_of
from harness.shm.native import CONSTANTS, Seat
from harness.watch.records import LockFact, SeatFacts, Snapshot
from harness.watch.snapshot import Reader, take
from harness.watch.wait_edges import LOCKS

_C = CONSTANTS
_FUTEX = ctypes.c_long(_C["SYS_FUTEX"])
_WAIT, _WAKE = 0, 1
_libc = ctypes.CDLL(None, use_errno=True)

SLICE_NS = 20_000_000  # a gate looks that often whether its cue can still come
SAME_LOOKS = 3  # so many looks at unmoved threads in a row: no thread will move
LONGEST_S = 10.0  # for one cue, whatever the others seem to be doing
ON_TRACK, ROLE_ENDED, STUCK, TOO_LATE = range(4)
NOT_YET, PLAYING, AT_GATE = range(3)
SERVICES = frozenset({"pageout", "disk"})
REASONS = {
    ROLE_ENDED: "ended before it",
    STUCK: "is stuck, and all others wait",
    TOO_LATE: f"did not come within {LONGEST_S:g} s",
}


@dataclass(frozen=True)
class Cue:
    """A role passes a point; ``about`` is the scene's name of a record that the point must concern."""

    role: str
    point: str
    about: str = ""

    @property
    def place(self) -> str:
        """The point, and what it concerns."""
        return self.point + (f"({self.about})" if self.about else "")

    def __str__(self) -> str:
        return f"{self.role}: {self.place}"


class Timespec(Structure):
    """A struct timespec."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


# fmt: off
class ScriptRow(Structure):
    """The one record of a script that is being played."""

    _fields_, GUARDS, NOTES = guarded(
        ("c", "cursor", c_uint32, "cues passed; written by the one whose turn it is"),
        ("c", "off",    c_uint32, "ON_TRACK, or why no further cue is waited for"),
        ("c", "lost",   c_uint32, "off: the cue that did not come"),
        ("c", "spare",  c_uint32, ""),
        ("W", "seats",  c_uint8 * 256, "by seat: NOT_YET, PLAYING, AT_GATE"),
    )
# fmt: on


class SyncPoints:
    """The gates of one arena, in one process.

    The last ``rounds`` of the cues come again and again, until a role that has a part in them ends.
    """

    def __init__(self, arena: Arena, cues: Sequence[Cue], roles: Sequence[str], rounds: int = 0) -> None:
        self.arena, self.cues, self.roles = arena, tuple(cues), frozenset(roles)
        self.rounds = rounds
        self.about: dict[str, int] = {}  # the scene's names -> address of the record
        self.row: Any = arena.table("script", ScriptRow, 1)[1]
        self._word = ctypes.addressof(c_uint32.from_buffer(arena.mapping, self.row.address))
        self._reader: tuple[int, Reader] | None = None

    # --- a worker's side

    def role(self) -> str:
        """Our role, by our seat."""
        seat = Seat.from_buffer(self.arena.mapping, self.arena.native.offset_of_seat(self._seat()))
        return role_of(seat.role.decode())

    def plays(self) -> bool:
        """Does this thread play a role or a service?  Not so when it builds the scene or looks at its end."""
        return self.role() in self.roles | SERVICES

    def _seat(self) -> int:
        return self.arena.native.seat()

    def turn(self, role: str) -> int:
        """The number of this role's next cue; -1: it has none any more."""
        cursor, count = self.row.cursor, len(self.cues)
        for number in range(cursor, max(count, cursor + self.rounds) if self.rounds else count):
            if self.cue(number).role == role:
                return number
        return -1

    def cue(self, number: int) -> Cue:
        """The cue of this number; those of the rounds have many."""
        once = len(self.cues) - self.rounds
        return self.cues[number if number < once else once + (number - once) % self.rounds]

    def place(self, number: int) -> str:
        """Where in the script that is, for the reader."""
        once = len(self.cues) - self.rounds
        if number < once or not self.rounds:
            return f"cue {number + 1} of {len(self.cues)}"
        times, within = divmod(number - once, self.rounds)
        return f"cue {once + within + 1} of {len(self.cues)}" + (f", round {times + 1}" if times else "")

    def over(self) -> bool:
        """Are there no cues any more?"""
        return not self.rounds and self.row.cursor >= len(self.cues)

    def reach(self, point: str, records: Sequence[int] = ()) -> None:
        """Pass a point that concerns these records (addresses) when it is our turn.

        A point that is not our next cue is passed freely.
        """
        if self.row.off or self.over():
            return
        number = self.turn(self.role())
        if number < 0 or not self._is(self.cue(number), point, records):
            return
        self._wait_for(number)
        if not self.row.off and self.row.cursor == number:
            self.row.cursor = number + 1
            self._wake()

    def _is(self, cue: Cue, point: str, records: Sequence[int]) -> bool:
        return cue.point == point and (not cue.about or self.about.get(cue.about) in records)

    def started(self) -> None:
        """This worker plays: from now on it is one of those that could move."""
        self.row.seats[self._seat()] = PLAYING

    def ended(self, role: str) -> None:
        """This role does nothing any more: cues that it still has will not come."""
        number = self.turn(role)
        if number >= 0 and not self.row.off:
            self._leave_track(number, ROLE_ENDED)

    # --- waiting

    def _wait_for(self, number: int) -> None:
        row, native = self.row, self.arena.native
        if row.cursor >= number:
            return
        seat, deadline = self._seat(), time.monotonic() + LONGEST_S
        row.seats[seat] = AT_GATE
        native.set_activity(_C["IO"])
        try:
            self._sleep_until(number, deadline)
        finally:
            native.set_activity(_C["RUNNING"])
            row.seats[seat] = PLAYING

    def _sleep_until(self, number: int, deadline: float) -> None:
        row = self.row
        before: object = None
        looks, seen = 0, row.cursor
        # Beyond our number: another worker of our role (a second disk) has passed it for both.
        while not row.off and (cursor := row.cursor) < number:
            if cursor != seen:
                deadline, seen = time.monotonic() + LONGEST_S, cursor
            self._futex_wait(cursor)
            if row.cursor != cursor:  # another thread moves: a look at all would only delay our own turn
                looks, before = 0, None
                continue
            now = self.stuck()
            looks = looks + 1 if now is not None and now == before and row.cursor == cursor else 0
            before = now
            if looks >= SAME_LOOKS and row.cursor == cursor:
                self._leave_track(cursor, STUCK)
            elif time.monotonic() > deadline:
                self._leave_track(cursor, TOO_LATE)

    def _futex_wait(self, value: int) -> None:
        limit = Timespec(0, SLICE_NS)
        _libc.syscall(
            _FUTEX, ctypes.c_void_p(self._word), _WAIT, c_uint32(value), ctypes.byref(limit), None, 0
        )

    def _wake(self) -> None:
        _libc.syscall(_FUTEX, ctypes.c_void_p(self._word), _WAKE, ctypes.c_int(1 << 30), None, None, 0)

    def _leave_track(self, number: int, why: int) -> None:
        if not self.row.off:
            self.row.lost = number
            self.row.off = why
        self._wake()

    # --- looking

    def stuck(self) -> object:
        """What all threads wait for, if none that is not held by a gate can move; None: one may.

        Compared with the next look: equal marks mean that nothing has moved in between.
        """
        if self._reader is None or self._reader[0] != os.getpid():
            self._reader = (os.getpid(), Reader(self.arena))
        now = take(self._reader[1])
        others = [
            seat
            for seat in now.seats
            if role_of(seat.role) in self.roles | SERVICES
            and not seat.dead
            and (self.row.seats[seat.number] != AT_GATE or self._is_next(seat))
        ]
        if any(self._may_move(seat, now) for seat in others):
            return None
        return tuple((seat.number, seat.wait_seq) for seat in others)

    def unfinished(self) -> str:
        """How it went: empty when every cue was passed."""
        row = self.row
        if row.off:
            cue = self.cue(row.lost)
            return (
                f"script went off the track at {self.place(row.lost)}: "
                f"role {cue.role} never reached {cue.place}: it {REASONS[row.off]}"
            )
        if row.cursor < len(self.cues):
            return f"the run ended at {self.place(row.cursor)} ({self.cue(row.cursor)})"
        return ""

    def _is_next(self, seat: SeatFacts) -> bool:
        """Is it this one's turn?  At its gate it has been woken then, and only has to run."""
        return not self.over() and self.cue(self.row.cursor).role == role_of(seat.role)

    def _may_move(self, seat: SeatFacts, now: Snapshot) -> bool:
        """Could this thread do something without one of those at gates?"""
        wait = seat.wait
        if wait is None or seat.torn or wait.timed:
            return True
        if wait.kind in ("io", "reporting"):  # a report is seen soon, on a busy machine less soon
            return True
        if wait.kind == "parked":
            return bool(self.row.seats[seat.number] == NOT_YET)  # it was let go and has not run yet
        if wait.kind in LOCKS:
            return _comes_next(seat.id, wait.kind, now.locks.get(wait.offset))
        return wait.kind in ("sleep", "idle") and not wait.unwoken


def _comes_next(waiter: int, kind: str, lock: LockFact | None) -> bool:
    """Is the lock being handed over?  Its waiter has been woken then, and only has to run."""
    if lock is None:
        return True
    readers = [] if kind == "read" else [one for one in lock.readers if one != waiter]
    return not (lock.holder or readers or lock.claimer not in (0, waiter))
