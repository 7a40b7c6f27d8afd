"""Read/write lock with upgrade and downgrade.

Writers are preferred: a reader queues behind a waiting writer unless it says
``pass_writers=True`` (for those who already own what the writer's predecessor waits for).
``upgrade()`` is False when another reader is upgrading already: release and start over.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import _native
from harness.locks.ranks import class_id
from harness.shm.arena import Arena
from harness.shm.layout import RwLockRecord


class RwLock(_native.RwLock):
    """A live read/write lock; ``with lock`` writes, ``with lock.reading()`` reads."""

    home: Arena

    def __reduce__(self) -> tuple[Any, ...]:
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<RwLock {self.name} holders {len(self.holders())}>"

    @contextmanager
    def reading(self, timeout: float | None = None, pass_writers: bool = False) -> Iterator[bool]:
        """Hold it for reading; yields False (and holds nothing) at a timeout."""
        got = self.read(timeout, pass_writers)
        try:
            yield got
        finally:
            if got:
                self.release()

    @contextmanager
    def writing(self, timeout: float | None = None) -> Iterator[bool]:
        """Hold it for writing; yields False (and holds nothing) at a timeout."""
        got = self.write(timeout)
        try:
            yield got
        finally:
            if got:
                self.release()

    def holder(self) -> tuple[int, int, int, str, tuple[str, int, str], int] | None:
        """The writer, else the first reader, as Mutex.holder(); None when free."""
        rows = sorted(self.holders(), key=lambda row: row[6] != "write")
        return rows[0][:6] if rows else None


def at(arena: Arena, offset: int) -> RwLock:
    """The lock whose record lies at ``offset``."""
    lock = RwLock(arena.native, offset)
    lock.home = arena
    return lock


def make(arena: Arena, class_name: str, instance: int, **options: Any) -> RwLock:
    """The lock of this class and number, made the first time."""
    number = class_id(arena, class_name, options, may_sleep=True)
    size = _native.LAYOUT["hd_rwlock"][0]
    return at(
        arena,
        arena.named_lock(
            "rwlock",
            class_name,
            instance,
            size,
            lambda offset: _native.RwLock.format(arena.native, offset, number, instance),
        ),
    )


RwLockRecord.view = at
Arena.makers["rwlock"] = make
