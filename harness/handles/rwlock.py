"""Read/write lock with upgrade and downgrade.

Writers are preferred: a reader queues behind a waiting writer unless it says
``pass_writers=True`` (for a thread that owns something that a present reader waits for).
``upgrade()`` is False when another reader is upgrading already: release and start over.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from harness import _native
from harness.errors import OwnerDied
from harness.handles.home import Home
from harness.handles.repair import Repaired


class RwLock(_native.RwLock):
    __doc__ = f"{_native.RwLock.__doc__}\n\n``home``: the Arena that it lies in."

    home: Home

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to other processes as a link to the arena, which they attach to."""
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<RwLock {self.name} holders {len(self.holders())}>"

    def reading(self, timeout: float | None = None, pass_writers: bool = False) -> "Hold":
        """``with lock.reading() as got:`` holds it for reading; got is False (nothing held) at a timeout."""
        return Hold(self, lambda: self.read(timeout, pass_writers, enter=True))

    def writing(self, timeout: float | None = None) -> "Hold":
        """``with lock.writing() as got:`` holds it for writing; got is False (nothing held) at a timeout."""
        return Hold(self, lambda: self.write(timeout, enter=True))

    def repaired_by(self, repair: Callable[[OwnerDied], object]) -> Repaired:
        """``with lock.repaired_by(rebuild):`` holds it for writing, also when a writer died inside.

        Then ``rebuild(died)`` is called first, with the lock held, and recover() after it; an exception
        from it gives the lock up, which breaks it for every thread.
        """
        return Repaired(self, repair)


class Hold:
    """Holds a lock for the length of a block.

    Not a generator: the frame of contextlib would then be the place where the lock was taken.
    An OwnerDied gives the lock up at once, as ``with lock`` does, because the block will not run.
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


def at(arena: Home, offset: int) -> RwLock:
    """The lock whose record lies at ``offset``."""
    lock = RwLock(arena.native, offset)
    lock.home = arena
    return lock
