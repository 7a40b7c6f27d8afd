"""The mutex of the arena: robust, error-checking, and it knows its holder.

``acquire(timeout=None)`` is False at a timeout.  OwnerDied means that the lock *is* held now and
the data is suspect: repair it and ``recover()``, or release and so break the lock for ever.
``with`` gives such a lock up at once, because nobody would release it.
"""

from typing import Any

from harness import _native
from harness.locks.ranks import class_id
from harness.shm.arena import Arena
from harness.shm.layout import MutexRecord


class Mutex(_native.Mutex):
    """A live mutex; ``home`` is the Arena it lies in."""

    home: Arena

    def __reduce__(self) -> tuple[Any, ...]:
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<Mutex {self.name} {'held' if self.locked() else 'free'}>"


def at(arena: Arena, offset: int) -> Mutex:
    """The mutex whose record lies at ``offset``."""
    lock = Mutex(arena.native, offset)
    lock.home = arena
    return lock


def make(arena: Arena, class_name: str, instance: int, **options: Any) -> Mutex:
    """The mutex of this class and number, made the first time."""
    number = class_id(arena, class_name, options)
    size = _native.LAYOUT["hd_mutex"][0]
    return at(
        arena,
        arena.named_lock(
            "mutex",
            class_name,
            instance,
            size,
            lambda offset: _native.Mutex.format(arena.native, offset, number, instance),
        ),
    )


MutexRecord.view = at
Arena.makers["mutex"] = make
