"""A channel in the arena to sleep at: threading's verbs and BSD's, with the sleeper's condition on record.

The condition (``until``) is what tells a lost wakeup from an ordinary wait: a process that
only reads the arena can see that the condition holds and that no wakeup reached the sleeper.
"""

import ctypes
import operator
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from harness import _native
from harness.errors import BadInput, require, require_whole
from harness.handles.home import Home

_C = _native.CONSTANTS
_CODES = {
    "==": (_C["EQ"], operator.eq),
    "!=": (_C["NE"], operator.ne),
    ">": (_C["GT"], operator.gt),
    ">=": (_C["GE"], operator.ge),
    "<": (_C["LT"], operator.lt),
    "<=": (_C["LE"], operator.le),
    "clear": (_C["CLEAR"], lambda field, bits: not field & bits),
    "set": (_C["SET"], lambda field, bits: bool(field & bits)),
}
OPERATORS = {word: code for word, (code, _) in _CODES.items()}
Until = tuple[Any, str, int] | tuple[Any, str, str, int]  # (record, field[, operator], value)
Predicate = Until | Callable[[], object]
AnyLock = _native.Mutex | _native.RwLock
_REALS = (ctypes.c_float, ctypes.c_double)
LONGEST_S = 1e9  # as the C core


def parts(until: Until) -> tuple[Any, str, str, int]:
    """(record, field, operator, value); the operator may be left out and is ``==`` then.

    BadInput for anything else.
    """
    require(isinstance(until, tuple), "until", until, "(record, field, operator, value)")
    require(len(until) in {3, 4}, "until", until, "(record, field, operator, value)")
    if len(until) == 3:
        return until[0], until[1], "==", until[2]
    return until


@cache
def _is_real(record: type, field: str) -> bool:
    """Whether the field is a float, from its declaration: reading the word would need its guard."""
    declared = (row for base in record.__mro__ for row in base.__dict__.get("_fields_", ()))
    return any(row[0] == field and row[1] in _REALS for row in declared)


def predicate(until: Until | None) -> tuple[int, int, int, int]:
    """(address, size, op, value) as the seat keeps them; value is signed 64 bit.

    BadInput for an unknown field or operator, and for a field that is no single word.
    """
    if until is None:
        return 0, 0, 0, 0
    record, field, word, value = parts(until)
    require(isinstance(field, str), "until: field", field, "a str")
    require(isinstance(value, int), "until: value", value, "a whole number")
    kind: type = type(record)
    at = getattr(kind, field, None)
    size = getattr(at, "size", 0)
    if at is None or word not in OPERATORS or size not in (1, 2, 4, 8) or _is_real(kind, field):
        raise BadInput(
            f"until=({type(record).__name__}, {field!r}, {word!r}, {value!r}): the field must be a word of "
            f"the record with a whole number, the operator one of {' '.join(OPERATORS)}"
        )
    return record.address + at.offset, size, OPERATORS[word], (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)


def holds(until: Until) -> bool:
    """Evaluate the condition now."""
    record, field, word, value = parts(until)
    return bool(_CODES[word][1](getattr(record, field), value))


def _deadline(timeout: float | None) -> float | None:
    """On the monotonic clock.  The same timeouts as the locks', refused with the same words."""
    if timeout is None or timeout == -1:
        return None
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"timeout={timeout!r}: it must be a number of seconds (None or -1: without limit)")
    if not 0 <= timeout <= LONGEST_S:
        raise ValueError(
            f"timeout={timeout!r}: it must be between 0 and 1e9 seconds (None or -1: without limit)"
        )
    return time.monotonic() + timeout


class Channel(_native.Channel):
    __doc__ = f"{_native.Channel.__doc__}\n\n``home``: the Arena that it lies in."

    home: Home

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to other processes as a link to the arena, which they attach to."""
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<Channel {self.name}>"

    def sleep(
        self,
        lock: AnyLock,
        wmesg: str,
        until: Until | None = None,
        timeout: float | None = None,
        idle: bool = False,
    ) -> bool:
        """BSD: release ``lock``, sleep until a wakeup, return with the lock **not** held.

        Release and sleep are one step with respect to wakeup.  False at a timeout.  The condition
        must be tested again: a wakeup says that something moved, not that it holds.
        ``idle``: this thread may stay here for ever without anything being wrong.
        """
        address, size, op, value = predicate(until)
        return self.block(self.intend(), wmesg, address, size, op, value, timeout, idle, lock=lock)

    def block_until(
        self,
        intent: int,
        wmesg: str,
        until: Until | None = None,
        timeout: float | None = None,
        guard: int = 0,
    ) -> bool:
        """BSD: sleep until a wakeup later than ``intent`` (taken under the lock with intend()).

        False when ``timeout`` seconds have passed.  ``guard``: offset of the lock that guards the word.
        """
        address, size, op, value = predicate(until)
        return self.block(intent, wmesg, address, size, op, value, timeout, False, guard)

    def wait(
        self,
        lock: AnyLock,
        wmesg: str = "",
        until: Predicate | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Release ``lock``, sleep, take it back: until the condition holds, or without one until a wakeup.

        ``until``: (record, field, operator, value), which dumps show and which makes a lost wakeup
        provable; or a function, which only this process can look at.  ``wmesg``: why, in a word, for dumps.
        The lock is held before and after, also after an exception; a second Ctrl-C while it is taken
        back does not end that wait but becomes a note of the first.  Only a lock that is broken
        meanwhile is not held afterwards (LockBroken).  False when ``timeout`` seconds have passed and
        the condition still does not hold.  Without ``until`` a wakeup may also come for no reason:
        look again, in a loop.
        """
        if not isinstance(lock, AnyLock):
            raise TypeError(f"lock={lock!r}: it must be a Mutex or a RwLock")
        deadline = _deadline(timeout)
        address, size, op, value = predicate(None if callable(until) else until)
        while until is None or not (until() if callable(until) else holds(until)):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            # Taken back in one call: an exception of a signal handler finds no place in between.
            woken = self.block(
                self.intend(), wmesg or "wait", address, size, op, value, left, lock=lock, keep=True
            )
            if until is None:
                return woken
        return True

    def wait_for(
        self, lock: AnyLock, until: Predicate, timeout: float | None = None, wmesg: str = ""
    ) -> bool:
        """Release ``lock``, sleep until ``until`` holds, take it back: see wait().  False at a timeout."""
        require(until is not None, "until", until, "(record, field, operator, value) or a function")
        return self.wait(lock, wmesg, until, timeout)

    def notify(self, n: int = 1) -> None:
        """Wake up to ``n`` of the threads that sleep here.  Change the condition first, under its lock."""
        require_whole("n", n, 1)
        for _ in range(n):
            self.wakeup_one()

    def notify_all(self) -> None:
        """Wake every thread that sleeps here.  Change the condition first, under its lock."""
        self.wakeup()


def at(arena: Home, offset: int) -> Channel:
    """The channel whose record lies at ``offset``."""
    channel = Channel(arena.native, offset)
    channel.home = arena
    return channel
