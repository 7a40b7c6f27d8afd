"""A table whose records are allocated and freed by many processes.

Links between records are generation << 32 | slot.  Freeing fills the record with
junk and moves its generation on, so a stale link is caught at the access instead of
corrupting another record.  Locks and channels inside are left alone: a late
sleeper of the old life must not match the new one.
"""

import ctypes
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from harness import _native
from harness.errors import ArenaError, DoubleFree, RecordError, TableFull
from harness.shm import facts
from harness.shm.arena import Arena
from harness.shm.layout import embedded_rows
from harness.shm.table import Table

R = TypeVar("R")
JUNK = 0xDB
_HEAD = ctypes.sizeof(ctypes.c_uint32) * 2  # generation and next_free
_STALE = _native.CONSTANTS["REPORT_STALE"]


class PoolHead(ctypes.Structure):
    """The pool's own words; behind them one byte per record, 1 while it is allocated."""

    _fields_ = [
        ("first_free", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("ready", ctypes.c_uint32),  # written last by the process that makes the pool
        ("spare", ctypes.c_uint32),
    ]


class Pool(_native.Resolver, Generic[R]):
    """``pool(ref)`` is the record of a link; StaleReference when it was freed since.

    ``lock`` guards the free list and is a leaf: nothing else is taken under it.
    """

    def __init__(
        self,
        arena: "Arena",
        name: str,
        record_type: Any,
        count: int = 0,
        lock: Any = None,
        option: str = "",
        classes: dict[str, int] | None = None,
    ) -> None:
        if record_type.generation.offset != 0 or record_type.next_free.offset != _HEAD // 2:
            raise ArenaError(f"record {record_type.__name__} does not begin with generation and next_free")
        self.arena, self.name, self.lock, self.option = arena, name, lock, option
        self.table: Table[R] = arena.table(name, record_type, count, option, classes)
        self.count = self.table.count
        base, stride = self.table.offset, self.table.stride
        super().__init__(arena.native, base, stride, record_type.generation.offset, self.table.views, name)
        at = arena.reserve(f"{name} pool", ctypes.sizeof(PoolHead) + self.count + 1)
        self._head = PoolHead.from_buffer(arena.mapping, at)
        self._marks_at = at + ctypes.sizeof(PoolHead)
        self._ranges = self._junk_ranges(record_type)
        if not self._head.ready:
            with arena.exclusive():
                if not self._head.ready:
                    self._link_all()
                    self._head.ready = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return (Pool, (self.arena, self.name, self.table.record_type, 0, self.lock, self.option))

    def __repr__(self) -> str:
        return f"<Pool {self.name!r} {self.in_use()} of {self.count} in use>"

    def _junk_ranges(self, record_type: Any) -> list[tuple[int, int, bytes, bytes]]:
        """(from, to, junk, zeros) of everything but head, locks and channels."""
        stops = [(offset, offset + ctypes.sizeof(kind)) for _, kind, offset in embedded_rows(record_type)]
        ranges, at = [], _HEAD
        for start, end in [*sorted(stops), (self.table.stride, self.table.stride)]:
            if start > at:
                ranges.append((at, start, bytes([JUNK]) * (start - at), bytes(start - at)))
            at = max(at, end)
        return ranges

    def _link_all(self) -> None:
        views: list[Any] = self.views
        for slot in range(1, self.count + 1):
            views[slot].generation = 1
            views[slot].next_free = slot + 1 if slot < self.count else 0
        self._head.first_free = 1

    def allocate(self) -> R | None:
        """A record with its fields zeroed, or None when the table is full."""
        mapping, head = self.arena.mapping, self._head
        with self.lock:
            slot = head.first_free
            if not slot:
                return None
            record: Any = self.views[slot]
            head.first_free = record.next_free
            head.used += 1
            mapping[self._marks_at + slot] = 1
        # Ours alone from here on: a link of the old life fails on the generation.
        record.next_free = 0
        base = record.address
        for start, end, _, zeros in self._ranges:
            mapping[base + start : base + end] = zeros
        return record  # type: ignore[no-any-return]

    def allocate_or_raise(self) -> R:
        """As allocate, but a full table is TableFull naming the option that enlarges it."""
        record = self.allocate()
        if record is None:
            raise TableFull(self.name, self.count, self.option)
        return record

    def free(self, record: Any) -> None:
        """Junk the record and move its generation on.

        DoubleFree (also reported in the arena) when it is free already, RecordError when it is none
        of this pool's.  The caller may hold the record's lock, and still holds it afterwards.
        """
        mapping, slot, base = self.arena.mapping, record.slot, record.address
        if slot > self.count or self.views[slot] is not record:
            raise RecordError(f"{record!r} is no record of pool {self.name!r}")
        with self.lock:
            if mapping[self._marks_at + slot]:
                mapping[self._marks_at + slot] = 0
                record.generation = (record.generation + 1) & 0xFFFFFFFF or 1  # 0 would make a null link
                for start, end, junk, _ in self._ranges:
                    mapping[base + start : base + end] = junk
                record.next_free = self._head.first_free
                self._head.first_free = slot
                self._head.used -= 1
                return
        error = DoubleFree(self.name, slot)
        facts.report(self.arena, _STALE, str(error), facts.said_by(error))
        raise error

    def ref(self, record: Any) -> int:
        """The link that names this record in its present life."""
        return record.generation << 32 | record.slot  # type: ignore[no-any-return]

    def in_use(self) -> int:
        """How many records are allocated (read without the lock)."""
        return int(self._head.used)

    def is_live(self, slot: int) -> bool:
        """Is this record allocated?  (read without the lock)"""
        return bool(self.arena.mapping[self._marks_at + slot])

    def live(self) -> Iterator[R]:
        """Every allocated record, in slot order (a snapshot only when nothing runs)."""
        marks = self.arena.mapping[self._marks_at : self._marks_at + self.count + 1]
        for slot in range(1, self.count + 1):
            if marks[slot]:
                yield self.views[slot]
