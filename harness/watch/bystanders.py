"""Threads of the harness itself that have the arena and wake no thread: on record, so that they are not
counted.

A thread that registers promises to take no lock and to post no wakeup of the arena until it takes
itself off the list, other than to end the run.  Its row counts while that very thread lives.
"""

import os
import threading
from ctypes import Structure, c_uint32, c_uint64
from typing import Any

from harness.shm.arena import Arena
from harness.shm.layout import guarded
from harness.watch import kernel

MAX_BYSTANDERS = 32
NAME = "bystanders"


class Bystander(Structure):
    """One thread."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "tid", c_uint32, "of the thread; 0: free; written last"),
        ("=", "pid", c_uint32, "of its process"),
        ("=", "started", c_uint64, "when the kernel started it: tells a number that is used again"),
    )


def _table(arena: Arena) -> Any:
    return arena.table(NAME, Bystander, MAX_BYSTANDERS)


def register(arena: Arena) -> None:
    """Put the calling thread on record, and give back the seat that the table itself may have cost.

    A full table only costs the certainty of one verdict.
    """
    _put_down(arena)
    if arena.native.seat() and not arena.native.depth():
        arena.native.leave()


def _put_down(arena: Arena) -> None:
    me, tid = os.getpid(), threading.get_native_id()
    rows = _table(arena).views[1:]
    if any(row.tid == tid and row.pid == me for row in rows):
        return
    for row in rows:
        if not row.tid or kernel.started(row.pid, row.tid) != row.started:
            row.tid = 0
            row.pid, row.started = me, kernel.started(me, tid)
            row.tid = tid
            return


def unregister(arena: Arena) -> None:
    """The calling thread may use locks again."""
    me, tid = os.getpid(), threading.get_native_id()
    for row in _table(arena).views[1:]:
        if row.tid == tid and row.pid == me:
            row.tid = 0


def registered(arena: Arena) -> set[tuple[int, int]]:
    """(pid, tid) of those that still live."""
    if NAME not in arena.tables and not any(row.name == NAME.encode() for row in arena.directory()):
        return set()
    return {
        (int(row.pid), int(row.tid))
        for row in _table(arena).views[1:]
        if row.tid and kernel.started(row.pid, row.tid) == row.started
    }
