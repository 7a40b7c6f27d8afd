"""The pool: processes of a scenario that wait for a worker to run them.

A worker takes a process out of the pool, runs it for a moment, and puts it back, so relatives with
one shadow chain are run by different workers at the same time.  A process in the pool belongs to no
worker; one that was taken belongs to the worker that took it.
"""

from __future__ import annotations

from ctypes import Structure, c_uint32
from typing import Any, Final

from harness.locks.ranks import LockClass
from harness.shm.arena import Arena
from harness.shm.layout import MutexRecord, guarded
from stress.ops import process_codec
from stress.ops.core import Actor, Process

STAGE = LockClass("stage", 4)  # before every lock of the VM; never held across an operation
PLACE_BYTES: Final = 16 * 1024
EMPTY, FULL = range(2)

# fmt: off


class Place(Structure):
    """Room for one process."""

    _fields_, GUARDS, NOTES = guarded(
        ("s", "state",  c_uint32, "EMPTY, FULL"),
        ("s", "length", c_uint32, "bytes of the process"),
    )


class StageRow(Structure):
    """The one record of the pool."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "lock_", MutexRecord, "guards all places"),
        ("s", "count", c_uint32,    "processes in the pool"),
        ("s", "spare", c_uint32,    ""),
    )


# fmt: on


class ProcessPool:
    """The places of one world."""

    def __init__(self, arena: Arena, places: int = 0) -> None:
        self.arena = arena
        ids = {"lock_": STAGE.declare(arena)}
        self.row: Any = arena.table("stage", StageRow, 1 if places else 0, classes=ids)[1]
        self.places: list[Any] = arena.table("stage_places", Place, places).views
        self.base = arena.reserve("stage_blobs", PLACE_BYTES * (len(self.places) - 1))

    def __reduce__(self) -> tuple[Any, ...]:
        return ProcessPool, (self.arena,)

    @staticmethod
    def size(places: int) -> int:
        """Arena bytes that it needs."""
        return places * (PLACE_BYTES + 16) + 4096

    def put(self, actor: Actor, process: Process) -> bool:
        """Leave the process to the next worker; False: the pool is full, it stays the caller's."""
        data = process_codec.encode(actor.vm, process)
        if len(data) > PLACE_BYTES:
            return False
        with self.row.lock:
            for slot in range(1, len(self.places)):
                place = self.places[slot]
                if place.state == EMPTY:
                    at = self.base + (slot - 1) * PLACE_BYTES
                    self.arena.mapping[at : at + len(data)] = data
                    place.state, place.length = FULL, len(data)
                    self.row.count += 1
                    return True
        return False

    def take(self, actor: Actor) -> Process | None:
        """Some process, now the caller's; None when the pool is empty."""
        with self.row.lock:
            full = [slot for slot in range(1, len(self.places)) if self.places[slot].state == FULL]
            if not full:
                return None
            slot = actor.rng.choice(full)
            at = self.base + (slot - 1) * PLACE_BYTES
            data = self.arena.mapping[at : at + self.places[slot].length]
            self.places[slot].state = EMPTY
            self.row.count -= 1
        return process_codec.decode(actor.vm, data)
