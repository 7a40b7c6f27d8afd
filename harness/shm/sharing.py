"""What a program asks its arena for by name: locks, channels, records.

The same name and number give the same lock in every thread and process.  Refuses names and
options that mean nothing at the call, and a class that was declared with other rules.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any, TypeVar, overload

from harness.errors import require, require_whole
from harness.handles import Channel, Condition, Mutex, RwLock
from harness.handles.channel import AnyLock
from harness.shm.record import Record, open_record

R = TypeVar("R")
MOST_INSTANCES = (1 << 32) - 1
MOST_RANK = (1 << 31) - 1


class Sharing:
    """The part of Arena that makes things by name."""

    _locks: dict[tuple[str, str, int], Any]

    def mutex(
        self,
        name: str,
        instance: int = 0,
        *,
        rank: int | None = None,
        may_sleep: bool | None = None,
        nest: bool | None = None,
    ) -> Mutex:
        """The mutex of this lock class and number, made at the first call of any process.

        ``name``: of the lock class, 1 to 39 bytes; ``instance``: tells the locks of one class apart.
        ``rank``: a class of lower rank is taken first; 0: only the order that is seen counts.
        ``may_sleep``: may be held while this thread sleeps or does I/O (default False).  ``nest``:
        several locks of a class with a rank may be held at a time (default False).
        Errors: BadInput (also: the class has another rank or other rules already), TableFull.
        """
        return self._lock("mutex", name, instance, _given(rank=rank, may_sleep=may_sleep, nest=nest))  # type: ignore[no-any-return]

    def rwlock(
        self,
        name: str,
        instance: int = 0,
        *,
        rank: int | None = None,
        may_sleep: bool | None = None,
        nest: bool | None = None,
    ) -> RwLock:
        """The read/write lock of this class and number; all else as mutex(), may_sleep True by default."""
        return self._lock("rwlock", name, instance, _given(rank=rank, may_sleep=may_sleep, nest=nest))  # type: ignore[no-any-return]

    def channel(
        self,
        name: str,
        instance: int = 0,
        *,
        rank: int | None = None,
        may_sleep: bool | None = None,
        nest: bool | None = None,
    ) -> Channel:
        """The channel of this class and number, to sleep at and to be woken; all else as mutex()."""
        return self._lock("channel", name, instance, _given(rank=rank, may_sleep=may_sleep, nest=nest))  # type: ignore[no-any-return]

    def condition(self, name: str, lock: AnyLock, instance: int = 0) -> Condition:
        """The channel of this name together with the lock of what is waited for, as threading.Condition."""
        require(isinstance(lock, AnyLock), "lock", lock, "a Mutex or a RwLock")
        return Condition(lock, self.channel(name, instance))

    @overload
    def record(self, fields: type[R], name: str = "") -> R: ...

    @overload
    def record(self, fields: Mapping[str, Any], name: str = "") -> Record: ...

    def record(self, fields: Any, name: str = "") -> Any:
        """A record in shared memory: its attributes are the same in every thread and process.

        ``fields``: a class with annotations, or a dict from name to type: int (64 bits), float, bool, a type
        of ctypes, or Annotated[int, ctypes.c_uint32].  A default of the class, or a number in place of a
        type, is what it begins with; else it is 0.
        ``name``: 1 to 47 bytes: the same name gives the same record everywhere; without one
        a new record is made, and may be handed to other processes.  Nothing in it is protected: take a lock.
        Errors: BadInput, TableFull, StaleArena (the record of this name has other fields).
        """
        arena: Any = self
        with nullcontext() if arena.read_only else arena.exclusive():
            return open_record(arena, fields, name)

    def _lock(self, kind: str, name: str, instance: int, options: dict[str, Any]) -> Any:
        require(isinstance(name, str), "name", name, "a str")
        found = self._locks.get((kind, name, instance))
        if found is None or options:
            _validate(instance, options)
            # Not at the top: harness.locks lies above,
            # and a program that imports this package alone needs locks.
            makers: Any = import_module("harness.locks.makers")
            makers.require_same_class(self, kind, name, options)
        if found is None:
            found = self._locks[(kind, name, instance)] = makers.make(self, kind, name, instance, options)
        return found


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _validate(instance: int, options: dict[str, Any]) -> None:
    require_whole("instance", instance, 0, MOST_INSTANCES)
    require_whole("rank", options.get("rank", 0), 0, MOST_RANK)
    for name in ("may_sleep", "nest"):
        require(isinstance(options.get(name, False), bool), name, options.get(name), "True or False")
