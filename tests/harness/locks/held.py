"""Which locks a thread holds, from the rows in its seat: its own or another thread's.

Read without a lock.  A row counts when the lock's own word (or, of a reader, its cell) says so: a
row is written before the lock is taken and outlives its release.  The locks of a running thread
may change while they are read, but every row was held at some moment of the call.
"""

from dataclasses import dataclass
from typing import Any

from harness import _native
from harness.locks.held import lock_name
from harness.shm import native
from harness.shm.arena import Arena

_C = _native.CONSTANTS
KINDS = {_C["MUTEX"]: "mutex", _C["READ"]: "read", _C["WRITE"]: "write"}


@dataclass(frozen=True)
class HeldLock:
    """One row of a held stack."""

    seat: int
    lock: int  # offset of the record
    name: str  # class[instance]
    kind: str  # mutex, read, write
    since: int  # coarse monotonic ns
    site: tuple[str, int, str]  # file, line, function


def held_by(arena: "Arena", seat: int) -> list[HeldLock]:
    """The locks of one seat, the first taken first."""
    return [
        HeldLock(seat, lock, lock_name(arena, lock), KINDS.get(kind, "?"), since, arena.native.site(site))
        for lock, kind, _, site, since, _ in arena.native.held_by(seat)
    ]


def mine(arena: "Arena") -> list[HeldLock]:
    """The locks of this thread."""
    seat = arena.native.seat()
    return held_by(arena, seat) if seat else []


def all_held(arena: "Arena") -> list[HeldLock]:
    """The locks of every seat that is taken, the dead included."""
    found = []
    for seat in range(1, int(arena.header.seat_count) + 1):
        row: Any = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(seat))
        if row.live == 2 and row.depth:
            found += held_by(arena, seat)
    return found
