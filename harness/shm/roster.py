"""The seats of an arena: one row per thread of execution, read without any lock.

Guarantees: every word was really there (they are read one by one, so a row of a
running thread may mix two moments); a thread that is gone counts as dead, also when
another one has its tid by now.  Refuses nothing and changes nothing.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

from harness import _native
from harness.shm import native, segment
from harness.shm.arena import Arena

FREE, BEING_TAKEN, TAKEN, LEFT = range(4)  # hd_seat.live
ACTIVITIES = {
    _native.CONSTANTS[name]: name.lower().replace("_", " ")
    for name in (
        "RUNNING", "WAIT_MUTEX", "WAIT_READ", "WAIT_WRITE", "WAIT_UPGRADE", "SLEEPING",
        "IDLE", "IO", "PARKED", "JOINING", "REPORTING",
    )
}  # fmt: skip


@dataclass(frozen=True)
class SeatInfo:
    """One seat at one moment; times are coarse monotonic nanoseconds."""

    number: int
    role: str
    pid: int
    tid: int
    seated: int
    left: bool  # the thread ended properly, or gave the seat back
    dead: bool  # taken, and its thread is gone: killed, or ended holding a lock
    activity: str
    operation: str  # empty between operations
    operation_argument: int
    steps: int
    progress: int
    failures: int
    depth: int  # locks held

    @property
    def alive(self) -> bool:
        """The thread that has this seat lives."""
        return not self.left and not self.dead


class Roster:
    """The seats of one arena."""

    def __init__(self, arena: "Arena") -> None:
        self.arena, self.native = arena, arena.native
        self.earlier_boot = segment.earlier_boot(arena.header)
        base, size = arena.header.seats, ctypes.sizeof(native.Seat)
        self.seats: list[Any] = [
            native.Seat.from_buffer(arena.mapping, base + i * size) for i in range(arena.header.seat_count)
        ]

    def live(self) -> list[Any]:
        """Seats that are taken."""
        return [seat for seat in self.seats if seat.live == TAKEN]

    def dead(self, number: int) -> bool:
        """Is the thread of this taken seat gone?  The kernel marked it, or does not know it any more."""
        return self.earlier_boot or bool(self.native.seat_dead(number))

    def rows(self, left: bool = False) -> list[SeatInfo]:
        """Seats that are taken, the dead included; with ``left`` also those that were given back."""
        wanted = (TAKEN, LEFT) if left else (TAKEN,)
        return [self._row(seat) for seat in self.seats if seat.live in wanted]

    def row(self, number: int) -> SeatInfo:
        """One seat by its number (1 ...), whatever its state."""
        if not 1 <= number <= len(self.seats):
            raise IndexError(f"seat {number} of {len(self.seats)}")
        return self._row(self.seats[number - 1])

    def _row(self, seat: Any) -> SeatInfo:
        activity = int(seat.activity)
        return SeatInfo(
            number=int(seat.number),
            role=seat.role.decode(errors="replace"),
            pid=int(seat.pid),
            tid=int(seat.tid),
            seated=int(seat.seated),
            left=seat.live != TAKEN,
            dead=seat.live == TAKEN and self.dead(seat.number),
            activity=ACTIVITIES.get(activity, f"activity {activity}"),
            operation=self.arena.native.name(seat.operation),
            operation_argument=int(seat.operation_argument),
            steps=int(seat.steps),
            progress=int(seat.progress),
            failures=int(seat.failures),
            depth=int(seat.depth),
        )

    def waiting_for(self, offset: int) -> int:
        """How many threads wait for the lock, or sleep on the channel, at this offset."""
        return sum(bool(seat.activity) and seat.wait_lock == offset for seat in self.live())
