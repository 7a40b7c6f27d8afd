"""The flight recorder: the last events of one thread, read from outside.

Written by the thread alone and never locked.  What was overwritten while we read is
left out, so every event given back was written as a whole.
"""

from dataclasses import dataclass
from typing import Any

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena

_C = _native.CONSTANTS
POINTS_KEPT: int = _C["POINTS"] - 1  # named points of a thread that ``points`` can give back
KINDS = {value: name[3:].lower() for name, value in _C.items() if name.startswith("EV_")}
_NAMED = {_C["EV_POINT"], _C["EV_BEGIN"], _C["EV_END"]}  # their site is the number of a name


@dataclass(frozen=True)
class Event:
    """One thing that a thread did; ``when`` in monotonic nanoseconds, exact for a point, else coarse."""

    when: int
    kind: str  # acquire, release, wait, sleep, woken, wakeup, point, begin, end ...
    object: int  # offset of the lock or channel; the argument of a point or operation
    name: str  # of a point or operation, else empty
    site: tuple[str, int, str] | None  # file, line, function; None where there is a name


def record(arena: "Arena", on: bool = True) -> None:
    """Switch the recorder on or off for every process in the arena."""
    mode = arena.native.mode & ~_C["RECORD"]
    arena.native.mode = mode | (_C["RECORD"] if on else 0)


def events(arena: "Arena", seat: int) -> list[Event]:
    """The last events of a seat (at most RING - 1), oldest first."""
    return _ring(arena, seat, "ring", _C["RING"])


def points(arena: "Arena", seat: int) -> list[Event]:
    """The last named points of a seat (at most POINTS_KEPT), oldest first: they go back much farther."""
    return _ring(arena, seat, "points", _C["POINTS"])


def _ring(arena: "Arena", seat: int, name: str, size: int) -> list[Event]:
    row: Any = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(seat))
    places, next_one = getattr(row, name), f"{name}_next"
    end = int(getattr(row, next_one))
    kept = [native.Event.from_buffer_copy(places[i % size]) for i in range(max(0, end - size), end)]
    # The writer fills a place and then moves on: the place it may be filling right now
    # is the one of the event that is a whole ring older than the next one.
    torn = int(getattr(row, next_one)) - size + 1 - max(0, end - size)
    return [_event(arena, event) for event in kept[max(0, torn) :]]


def _event(arena: "Arena", event: Any) -> Event:
    kind, named = int(event.kind), event.kind in _NAMED
    return Event(
        when=int(event.when),
        kind=KINDS.get(kind, f"event {kind}"),
        object=int(event.object),
        name=arena.native.name(event.site) if named else "",
        site=None if named else arena.native.site(event.site),
    )
