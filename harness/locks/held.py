"""The names of locks, and which of them this thread holds.

From the rows of its seat.  A row counts when the lock's own word (or, of a reader, its cell) says so: a
row is written before the lock is taken and outlives its release.
"""

import ctypes
from typing import Any

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena

_C = _native.CONSTANTS


def held_names(arena: "Arena") -> list[str]:
    """``class[instance]`` of the locks of this thread, the first taken first."""
    seat = arena.native.seat()
    return [lock_name(arena, lock) for lock, *_ in arena.native.held_by(seat)] if seat else []


def lock_name(arena: "Arena", offset: int) -> str:
    """``class[instance]`` of the lock or channel record at an offset; "?" where none can lie."""
    if not 0 < offset <= arena.header.size - ctypes.sizeof(native.Mutex):
        return "?"
    record: Any = native.Mutex.from_buffer(arena.mapping, offset)  # all lock records begin alike
    size = _native.LAYOUT["hd_class"][0]
    row: Any = native.LockClass.from_buffer(
        arena.mapping, arena.header.classes + record.class_id % _C["MAX_CLASSES"] * size
    )
    return f"{row.name.decode(errors='replace') or 'lock'}[{record.instance}]"
