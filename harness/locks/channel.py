"""BSD sleep/wakeup on a channel in the arena, with the sleeper's condition on record.

The condition (``until``) is what tells a lost wakeup from an ordinary wait: a process
that only looks can see that it holds in memory and nobody woke the sleeper.
"""

import operator
import time
from typing import Any

from harness import _native
from harness.errors import BadInput
from harness.locks.ranks import class_id
from harness.shm.arena import Arena
from harness.shm.layout import ChannelRecord

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
Until = tuple[Any, str, int] | tuple[Any, str, str, int]


def parts(until: Until) -> tuple[Any, str, str, int]:
    """(record, field, operator, value); the operator may be left out and is ``==`` then."""
    if len(until) == 3:
        return until[0], until[1], "==", until[2]
    return until


def predicate(until: Until | None) -> tuple[int, int, int, int]:
    """(address, size, op, value) as the seat keeps them; value is signed 64 bit.

    BadInput for an unknown field or operator, and for a field that is no single word.
    """
    if until is None:
        return 0, 0, 0, 0
    record, field, word, value = parts(until)
    at = getattr(type(record), field, None)
    size = getattr(at, "size", 0)
    if at is None or word not in OPERATORS or size not in (1, 2, 4, 8):
        raise BadInput(
            f"until=({type(record).__name__}, {field!r}, {word!r}, {value}): "
            f"the field must be a word of the record, the operator one of {' '.join(OPERATORS)}"
        )
    return record.address + at.offset, size, OPERATORS[word], (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)


def holds(until: Until) -> bool:
    """Evaluate the condition now."""
    record, field, word, value = parts(until)
    return bool(_CODES[word][1](getattr(record, field), value))


class Channel(_native.Channel):
    """A live channel."""

    home: Arena

    def __reduce__(self) -> tuple[Any, ...]:
        return (at, (self.home, self.offset))

    def __repr__(self) -> str:
        return f"<Channel {self.name}>"

    def sleep(
        self,
        lock: Any,
        wmesg: str,
        until: Until | None = None,
        timeout: float | None = None,
        idle: bool = False,
    ) -> bool:
        """Release ``lock``, sleep until a wakeup, return with the lock **not** held.

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
        """Sleep until a wakeup later than ``intent`` (taken under the lock with intend())."""
        address, size, op, value = predicate(until)
        return self.block(intent, wmesg, address, size, op, value, timeout, False, guard)

    def wait(self, lock: Any, wmesg: str, until: Until, timeout: float | None = None) -> bool:
        """Sleep until the condition holds; ``lock`` is held before and after, also after an exception.

        A second Ctrl-C while the lock is taken back does not end that wait; it becomes a note of the first.
        Only a lock that is broken meanwhile is not held afterwards (LockBroken).
        False when ``timeout`` seconds have passed and it still does not hold.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not holds(until):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            address, size, op, value = predicate(until)
            # Taken back in one call: an exception of a signal handler finds no place in between.
            self.block(self.intend(), wmesg, address, size, op, value, left, lock=lock, keep=True)
        return True


def at(arena: Arena, offset: int) -> Channel:
    """The channel whose record lies at ``offset``."""
    channel = Channel(arena.native, offset)
    channel.home = arena
    return channel


def make(arena: Arena, class_name: str, instance: int, **options: Any) -> Channel:
    """The channel of this class and number, made the first time."""
    number = class_id(arena, class_name, options)
    size = _native.LAYOUT["hd_channel"][0]
    return at(
        arena,
        arena.named_lock(
            "channel",
            class_name,
            instance,
            size,
            lambda offset: _native.Channel.format(arena.native, offset, number, instance),
        ),
    )


ChannelRecord.view = at
Arena.makers["channel"] = make
