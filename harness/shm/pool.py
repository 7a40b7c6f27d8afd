"""A table whose records are allocated and freed by many processes.

Links between records are generation << 32 | slot.  Freeing fills the record with
junk and moves its generation on, so a stale link is caught at the access instead of
corrupting a stranger's record.  Locks and channels inside are left alone: a late
sleeper of the old life must not match the new one.
"""

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness import _native
from harness.errors import DoubleFree, TableFull
from harness.shm.layout import embedded_rows
from harness.shm.table import Table

if TYPE_CHECKING:
    from harness.shm.arena import Arena

R = TypeVar("R")
JUNK = 0xDB
_HEAD = ctypes.sizeof(ctypes.c_uint32) * 2  # generation and next_free


class PoolHead(ctypes.Structure):
    """The pool's own words, behind its table."""

    _fields_ = [("first_free", ctypes.c_uint32), ("used", ctypes.c_uint32)]


class Pool(_native.Resolver, Generic[R]):
    """``pool(ref)`` is the record of a link; StaleReference when it has been freed since.

    ``lock`` is a leaf mutex that guards the free list.
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
        fresh = name not in arena.tables and arena._entry(name) is None
        self.arena, self.name, self.lock, self.option = arena, name, lock, option
        self.table: Table[R] = arena.table(name, record_type, count, option, classes)
        self.count = self.table.count
        super().__init__(
            arena.native,
            self.table.offset,
            self.table.stride,
            record_type.generation.offset,
            self.table.views,
            name,
        )
        self._marks_at = arena.reserve(f"{name} marks", self.count)
        self._head_at = arena.reserve(f"{name} head", ctypes.sizeof(PoolHead))
        self._head = PoolHead.from_buffer(arena.mapping, self._head_at)
        self._junk = self._junk_ranges(record_type)
        if fresh:
            self._link_all()

    def _junk_ranges(self, record_type: Any) -> list[tuple[int, bytes]]:
        """(offset in the record, junk) of everything but head, locks and channels."""
        stops = [(offset, offset + ctypes.sizeof(kind)) for _, kind, offset in embedded_rows(record_type)]
        ranges, at = [], _HEAD
        for start, end in [*sorted(stops), (self.table.stride, self.table.stride)]:
            if start > at:
                ranges.append((at, bytes([JUNK]) * (start - at)))
            at = max(at, end)
        return ranges

    def _link_all(self) -> None:
        views: list[Any] = self.views
        for slot in range(1, self.count):
            views[slot].generation = 1
            views[slot].next_free = slot + 1 if slot + 1 < self.count else 0
        self._head.first_free = 1 if self.count > 1 else 0

    def allocate(self) -> R | None:
        """A record with its fields zeroed, or None when the table is full."""
        mapping = self.arena.mapping
        with self.lock:
            slot = self._head.first_free
            if not slot:
                return None
            record: Any = self.views[slot]
            self._head.first_free = record.next_free
            self._head.used += 1
            mapping[self._marks_at + slot] = 1
        record.next_free = 0
        base = record.address
        for offset, junk in self._junk:
            mapping[base + offset : base + offset + len(junk)] = bytes(len(junk))
        return record  # type: ignore[no-any-return]

    def allocate_or_raise(self) -> R:
        """As allocate, but a full table is TableFull naming the option that enlarges it."""
        record = self.allocate()
        if record is None:
            raise TableFull(self.name, self.count - 1, self.option)
        return record

    def free(self, record: Any) -> None:
        """Junk the record and move its generation on.  DoubleFree when it is free already."""
        mapping, slot, base = self.arena.mapping, record.slot, record.address
        with self.lock:
            if not mapping[self._marks_at + slot]:
                raise DoubleFree(self.name, slot)
            mapping[self._marks_at + slot] = 0
            record.generation = (record.generation + 1) & 0xFFFFFFFF or 1
            for offset, junk in self._junk:
                mapping[base + offset : base + offset + len(junk)] = junk
            record.next_free = self._head.first_free
            self._head.first_free = slot
            self._head.used -= 1

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
        for slot in range(1, self.count):
            if self.is_live(slot):
                yield self.views[slot]
