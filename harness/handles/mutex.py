"""The mutex of the arena: robust, error-checking, and it knows its holder.

``acquire(blocking=True, timeout=-1)`` is threading's: False at a timeout.  OwnerDied means that the
lock *is* held now and the data is suspect: repair it and ``recover()``, or release and so break the
lock for ever.  ``with`` gives such a lock up at once, because its block will not run;
``with lock.repaired_by(rebuild)`` repairs and goes on.
"""

from collections.abc import Callable
from typing import Any

from harness import _native
from harness.errors import OwnerDied
from harness.handles.home import Home
from harness.handles.repair import Repaired


class Mutex(_native.Mutex):
    __doc__ = f"{_native.Mutex.__doc__}\n\n``home``: the Arena that it lies in."

    home: Home

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to other processes as a link to the arena, which they attach to."""
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<Mutex {self.name} {'held' if self.locked() else 'free'}>"

    def repaired_by(self, repair: Callable[[OwnerDied], object]) -> Repaired:
        """``with lock.repaired_by(rebuild):`` holds it, also when its last holder died inside.

        Then ``rebuild(died)`` is called first, with the lock held, and recover() after it; an exception
        from it gives the lock up, which breaks it for every thread.
        """
        return Repaired(self, repair)


def at(arena: Home, offset: int) -> Mutex:
    """The mutex whose record lies at ``offset``."""
    lock = Mutex(arena.native, offset)
    lock.home = arena
    return lock
