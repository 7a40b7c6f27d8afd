"""The barrier between epochs (the gate): every worker parks, holding no lock; the audit; all go on.

Messages travel over the workers' pipes, because a pipe tells of a dead peer and a count
in shared memory does not.  The records in the arena say the same for every process that
only looks (watchdog, progress display, dump) and for ``should_stop``, which must be cheap.

One writer each: the supervisor writes GateRecord; a worker its own row while it lives,
the supervisor afterwards.
"""

import enum
from ctypes import Structure, c_uint32, c_uint64
from typing import Any

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.layout import guarded
from harness.shm.native import on_list

_C = _native.CONSTANTS


class State(enum.IntEnum):
    """What the run is doing."""

    STARTING = 0
    RUNNING = 1
    PARKING = 2  # the first one is at the gate
    AUDIT = 3  # every worker is parked, and is looked at
    ENDING = 4


class Row(enum.IntEnum):
    """What a worker is doing, as far as the gate is concerned."""

    UNUSED = 0
    RUNNING = 1
    PARKED = 2
    GONE = 3


# fmt: off
class GateRecord(Structure):
    """The run's own row.  Guard S: written by the supervisor only, by single stores."""

    _fields_, GUARDS, NOTES = guarded(
        ("S", "state", c_uint32, "State"),
        ("S", "stop",  c_uint32, "1: workers are to come to an end"),
        ("S", "epoch", c_uint64, "epochs completed"),
        ("S", "go_ns", c_uint64, "coarse monotonic ns when the workers were let go"),
    )


class GateRow(Structure):
    """One worker.  Guard W: written by the worker, after its death by the supervisor."""

    _fields_, GUARDS, NOTES = guarded(
        ("W", "state",   c_uint32, "Row"),
        ("W", "service", c_uint32, "1: it may stay where it is while others park"),
        ("W", "seat",    c_uint32, "its seat; 0 before it sat down"),
        ("W", "pid",     c_uint32, "tells whether the seat is still its own"),
        ("W", "steps",   c_uint64, "operations completed, once it is gone"),
    )
# fmt: on


class Barrier:
    """The records, opened (or made) in an arena; rows are numbered like the workers, from 0."""

    def __init__(self, arena: "Arena") -> None:
        self.arena = arena
        self.gate: Any = arena.table("run_gate", GateRecord, 1)[1]
        self.rows: list[Any] = arena.table("run_gate_rows", GateRow, int(arena.header.seat_count)).views[1:]

    def clear(self) -> None:
        """Before a run: forget the last one."""
        self.gate.state, self.gate.stop, self.gate.epoch, self.gate.go_ns = State.STARTING, 0, 0, 0
        for row in self.rows:
            row.state = row.service = row.seat = row.pid = row.steps = 0

    def steps(self, number: int) -> int:
        """Operations that a worker has completed."""
        row = self.rows[number]
        if row.state == Row.GONE or not row.seat:
            return int(row.steps)
        seat = self.seat(row.seat)
        return int(seat.steps) if seat.pid == row.pid else int(row.steps)

    def total(self) -> tuple[int, int]:
        """(steps of all workers, workers that are not gone)."""
        used = [n for n, row in enumerate(self.rows) if row.state != Row.UNUSED]
        return sum(map(self.steps, used)), sum(self.rows[n].state != Row.GONE for n in used)

    def keeper(self) -> str:
        """What may let parked workers go on now; empty: nothing before another worker parks, too."""
        steppers = [row.state for row in self.rows if row.state != Row.UNUSED and not row.service]
        waited_for = any(state == Row.RUNNING for state in steppers)
        return "" if waited_for and not self.gate.stop else "the supervisor, which lets parked workers go on"

    def seat(self, number: int) -> Any:
        """The record of a seat."""
        return native.Seat.from_buffer(self.arena.mapping, self.arena.native.offset_of_seat(number))

    def quiet(self, number: int, parked: bool = False) -> tuple[int, int] | None:
        """(seat, wait sequence) of a service that rests and holds nothing; None while it works.

        At rest: parked, or idle on a channel that no thread has woken since it looked.  A service that was
        told to go on, or woken, and has not run yet still looks as before: so ``parked`` says whether
        the supervisor knows it to be parked.
        """
        row = self.rows[number]
        seat = self.seat(row.seat)
        before, activity = int(seat.wait_seq), seat.activity
        if seat.depth or not (activity == _C["IDLE"] or (activity == _C["PARKED"] and parked)):
            return None
        if activity == _C["IDLE"]:
            if not seat.wait_lock:
                return None
            channel: Any = native.Channel.from_buffer(self.arena.mapping, int(seat.wait_lock))
            if not on_list(channel, int(row.seat)):
                return None
        return (int(row.seat), before) if seat.wait_seq == before else None

    def place(self, number: int) -> str:
        """Where a worker is, from its seat: what it waits for, else its operation; empty: nothing known."""
        row = self.rows[number]
        if not row.seat:
            return ""
        seat, look = self.seat(row.seat), self.arena.native
        if seat.pid != row.pid:
            return ""
        if seat.wait_site and seat.activity != _C["RUNNING"]:
            file, line, function = look.site(seat.wait_site)
            return f"{file}:{line} {function}"
        return look.name(seat.operation) if seat.operation else ""
