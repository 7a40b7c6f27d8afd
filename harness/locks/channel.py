"""BSD sleep/wakeup on a channel in the arena, with the sleeper's condition on record.

The condition (``until``) is what tells a lost wakeup from an ordinary wait: a process
that only looks can see that it holds in memory and nobody woke the sleeper.
"""

from typing import Any

from harness import _native
from harness.errors import BadInput
from harness.locks.ranks import LockClass
from harness.shm.arena import Arena
from harness.shm.layout import ChannelRecord

_C = _native.CONSTANTS
OPERATORS = {
    "==": _C["EQ"],
    "!=": _C["NE"],
    ">": _C["GT"],
    ">=": _C["GE"],
    "<": _C["LT"],
    "<=": _C["LE"],
    "clear": _C["CLEAR"],  # field & value == 0
    "set": _C["SET"],  # field & value != 0
}
Until = tuple[Any, str, int] | tuple[Any, str, str, int]


def predicate(until: Until | None) -> tuple[int, int, int, int]:
    """(record, field[, op], value) -> (address, size, op, value) for the seat."""
    if until is None:
        return 0, 0, 0, 0
    record, field = until[0], until[1]
    word, value = ("==", until[2]) if len(until) == 3 else (until[2], until[3])
    at = getattr(type(record), field, None)
    if at is None or word not in OPERATORS:
        raise BadInput(f"until={until!r}: no field {field!r} or operator {word!r}")
    return record.address + at.offset, at.size, OPERATORS[str(word)], int(value)


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
        """Sleep again and again until the condition holds; ``lock`` is held before and after."""
        while not holds(until):
            woken = self.sleep(lock, wmesg, until, timeout)
            lock.acquire()
            if not woken:
                return holds(until)
        return True


def holds(until: Until) -> bool:
    """Evaluate the condition now."""
    value = getattr(until[0], until[1])
    word, wanted = ("==", until[2]) if len(until) == 3 else (until[2], until[3])
    if word == "clear":
        return not value & wanted
    if word == "set":
        return bool(value & wanted)
    tests = {"==": value == wanted, "!=": value != wanted, ">": value > wanted, ">=": value >= wanted}
    tests |= {"<": value < wanted, "<=": value <= wanted}
    return bool(tests[str(word)])


def at(arena: Arena, offset: int) -> Channel:
    """The channel whose record lies at ``offset``."""
    channel = Channel(arena.native, offset)
    channel.home = arena
    return channel


def make(arena: Arena, class_name: str, instance: int, **options: Any) -> Channel:
    """The channel of this class and number, made the first time."""
    class_id = LockClass(class_name, **options).declare(arena)
    size = _native.LAYOUT["hd_channel"][0]
    return at(
        arena,
        arena.named_lock(
            "channel",
            class_name,
            instance,
            size,
            lambda offset: _native.Channel.format(arena.native, offset, class_id, instance),
        ),
    )


ChannelRecord.view = at
Arena.makers["channel"] = make
