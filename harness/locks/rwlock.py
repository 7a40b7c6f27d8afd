"""Read/write lock with upgrade and downgrade.

Writers are preferred: a reader queues behind a waiting writer unless it says
``pass_writers=True`` (for those who already own what the writer's predecessor waits for).
``upgrade()`` is False when another reader is upgrading already: release and start over.
"""

from collections.abc import Callable
from types import TracebackType
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

    def reading(self, timeout: float | None = None, pass_writers: bool = False) -> "Hold":
        """``with lock.reading() as got:`` holds it for reading; got is False (nothing held) at a timeout."""
        return Hold(self, lambda: self.read(timeout, pass_writers, enter=True))

    def writing(self, timeout: float | None = None) -> "Hold":
        """``with lock.writing() as got:`` holds it for writing; got is False (nothing held) at a timeout."""
        return Hold(self, lambda: self.write(timeout, enter=True))


class Hold:
    """Holds a lock for the length of a block.

    Not a generator: the frame of contextlib would then be the place where the lock was taken.
    An OwnerDied gives the lock up at once, as ``with lock`` does, because nobody would release it.
    """

    def __init__(self, lock: RwLock, take: Callable[[], bool]) -> None:
        self.lock, self.take = lock, take
        self.got = False

    def __enter__(self) -> bool:
        self.got = self.take()
        return self.got

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.got:
            self.lock.release()


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
