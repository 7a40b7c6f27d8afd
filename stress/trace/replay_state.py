"""The shared state of one replay: which tasks are born, ready, taken, released, gone.

Everything is in the arena, under one mutex with one channel.  ``sequence`` moves at every event
that can let another task go on (a birth, an exit, a release, a count that another task waits for), and
a worker with nothing to do sleeps until it has moved: no thread polls.
"""

from __future__ import annotations

from ctypes import Structure, c_uint32, c_uint64
from typing import Any, Final

from harness.locks.ranks import LockClass
from harness.shm.arena import Arena
from harness.shm.layout import ChannelRecord, MutexRecord, guarded

BUFFER_BYTES: Final = 48 * 1024
REPLAY = LockClass("replay", 5)  # before every lock of the VM; never held across an operation
REPLAY_CHANNEL = LockClass("replay channel", 99)

STOP_LOOK_S: Final = 0.5

UNBORN, READY, TAKEN, GONE = range(4)

# fmt: off


class TaskRow(Structure):
    """One task of the plan."""

    _fields_, GUARDS, NOTES = guarded(
        ("r", "state",    c_uint32, "UNBORN, READY, TAKEN, GONE"),
        ("r", "next",     c_uint32, "link in the ready queue"),
        (".", "done",     c_uint32, "operations done; its worker writes"),
        (".", "released", c_uint32, "has done an Exec or its Exit; its worker writes"),
        ("r", "buffer",   c_uint32, "where the new process lies; 0: nowhere"),
        ("r", "length",   c_uint32, "bytes in the buffer"),
        ("r", "worker",   c_uint32, "the worker that has it"),
    )


class Board(Structure):
    """The one record of the replay."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "lock_",    MutexRecord,   "guards everything marked r"),
        ("=", "chan_",    ChannelRecord, "idle workers"),
        ("r", "sequence", c_uint64,      "moves at every event that can let another task go on"),
        ("r", "first",    c_uint32,      "ready queue"),
        ("r", "last",     c_uint32,      ""),
        ("r", "left",     c_uint32,      "tasks that are not gone"),
        ("r", "pause",    c_uint32,      "1: all workers to the barrier"),
        ("r", "epoch",    c_uint32,      "epochs begun"),
        ("r", "mark",     c_uint32,      "so few tasks left end the epoch"),
    )


class Buffer(Structure):
    """Whether a buffer is free."""

    _fields_, GUARDS, NOTES = guarded(
        ("r", "used", c_uint32, ""),
    )


# fmt: on


class ReplayState:
    """The tables of one replay; task numbers here are plan indexes."""

    def __init__(self, arena: Arena, tasks: int = 0, buffers: int = 0) -> None:
        ids = {"lock_": REPLAY.declare(arena), "chan_": REPLAY_CHANNEL.declare(arena)}
        self.arena, self.native = arena, arena.native
        self.board: Any = arena.table("replay_board", Board, 1 if tasks else 0, classes=ids)[1]
        self.tasks: list[Any] = arena.table("replay_tasks", TaskRow, tasks).views[1:]
        self.buffers: Any = arena.table("replay_buffers", Buffer, buffers).views
        self.lock, self.chan = self.board.lock, self.board.chan
        size = BUFFER_BYTES * (len(self.buffers) - 1)
        self.base = arena.reserve("replay_blobs", size)
        if tasks:
            self.board.left = tasks

    def __reduce__(self) -> tuple[Any, ...]:
        return ReplayState, (self.arena,)

    @staticmethod
    def size(tasks: int, buffers: int) -> int:
        """Arena bytes that it needs."""
        return tasks * 64 + buffers * (BUFFER_BYTES + 64) + 8192

    # --- births

    def born(self, task: int, data: bytes | None) -> bool:
        """Put a newborn into the ready queue; False: no buffer for it, so the caller keeps it.

        ``data`` is None for a root, which has no memory yet.
        """
        with self.lock:
            row = self.tasks[task]
            row.buffer = 0
            if data is not None:
                row.buffer = self._put(data)
                row.length = len(data)
                if not row.buffer:
                    row.state = TAKEN
                    return False
            row.state, row.next = READY, 0
            board = self.board
            if board.last:
                self.tasks[board.last - 1].next = task + 1
            else:
                board.first = task + 1
            board.last = task + 1
            self._moved()
        return True

    def kept(self, task: int, worker: int) -> None:
        """A newborn that its parent's worker runs itself."""
        with self.lock:
            self.tasks[task].state, self.tasks[task].worker = TAKEN, worker

    def take(self, worker: int) -> tuple[int, bytes | None] | None:
        """The oldest ready task, now this worker's, with what lay in its buffer."""
        board = self.board
        if not board.first:
            return None  # a hint: before it sleeps, a worker looks again under the lock
        with self.lock:
            if not board.first:
                return None
            task = board.first - 1
            row = self.tasks[task]
            board.first = row.next
            if not board.first:
                board.last = 0
            row.state, row.worker = TAKEN, worker
            data = self._get(row.buffer, row.length) if row.buffer else None
            row.buffer = 0
        return task, data

    def _put(self, data: bytes) -> int:
        """Copy data into a free buffer; lock held.  0: none, or it is too long."""
        if len(data) > BUFFER_BYTES:
            return 0
        for slot in range(1, len(self.buffers)):
            if not self.buffers[slot].used:
                self.buffers[slot].used = 1
                at = self.base + (slot - 1) * BUFFER_BYTES
                self.arena.mapping[at : at + len(data)] = data
                return slot
        return 0

    def _get(self, slot: int, length: int) -> bytes:
        at = self.base + (slot - 1) * BUFFER_BYTES
        self.buffers[slot].used = 0
        return self.arena.mapping[at : at + length]

    # --- events

    def _moved(self) -> None:
        self.board.sequence += 1
        self.chan.wakeup()

    def moved(self) -> None:
        """Something happened that a task may wait for."""
        with self.lock:
            self._moved()

    def release(self, task: int) -> None:
        """The task has left its parent's memory, or never was in it."""
        with self.lock:
            self.tasks[task].released = 1
            self._moved()

    def gone(self, task: int) -> None:
        """The task has done its Exit."""
        with self.lock:
            board = self.board
            self.tasks[task].state = GONE
            board.left -= 1
            if board.left <= board.mark:
                board.pause = 1
            self._moved()

    def begin(self, epoch: int, tasks: int) -> None:
        """An epoch begins: it ends when ``tasks`` more tasks are gone.  The first caller's word counts."""
        with self.lock:
            board = self.board
            if board.epoch < epoch:
                board.epoch, board.pause = epoch, 0
                board.mark = max(0, len(self.tasks) - epoch * tasks)

    def wait(self, seen: int) -> None:
        """Sleep until the sequence has moved beyond ``seen``.  Idle: a worker without work is no hang."""
        self.lock.acquire()
        if self.board.sequence != seen or self.board.first:
            self.lock.release()
            return
        until = (self.board, "sequence", "!=", seen)
        # The timeout is no poll for work: a run that is told to end says so by a word in memory.
        self.chan.sleep(self.lock, "replay", until=until, timeout=STOP_LOOK_S, idle=True)
