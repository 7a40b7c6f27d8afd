"""Lock classes: a name, a rank, and what may be done while one is held.

The rank of a lock is declared once, where the class is; a lower rank is taken first.
"""

from dataclasses import dataclass
from typing import Any

from harness import _native
from harness.errors import BadInput
from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.names import encoded

_C = _native.CONSTANTS
MAX_NAME = 39  # hd_class.name, without its NUL


@dataclass(frozen=True)
class LockClass:
    """All locks of one kind.

    ``name``: 1 to 39 bytes; a lock is shown as name[number].
    ``may_sleep``: may be held while sleeping or doing I/O.  ``nest``: several at a time although
    the class has a rank; without a rank that is always allowed.  Either way the order of two of
    them counts once it was seen.  ``chain``: several at a time, along a link only; (record name,
    link field) for the reader, the addresses are given by ``set_chain`` when the table exists.
    ``rank`` 0: only the order that is seen counts.
    """

    name: str
    rank: int = 0
    may_sleep: bool = False
    nest: bool = False
    chain: tuple[str, str] | None = None

    @property
    def flags(self) -> int:
        """The hd_class_flags of the C core."""
        return (
            (_C["MAY_SLEEP"] if self.may_sleep else 0)
            | (_C["NEST"] if self.nest else 0)
            | (_C["CHAIN"] if self.chain else 0)
        )

    def declare(self, arena: Arena) -> int:
        """Number of this class in an arena, the same in every process.

        BadInput when it was declared there with another rank or other rules: an order that
        depended on which process came first would be no order.
        """
        known = arena.class_ids.get(self)
        if known is not None:
            return known
        encoded("lock class name", self.name, MAX_NAME)
        with arena.exclusive():  # as for all names; the number alone would be one without it (names.c)
            number = arena.native.declare_class(self.name, self.rank, self.flags)
            row = _row(arena, number)
        if (row.rank, row.flags) != (self.rank, self.flags):
            raise BadInput(
                f"lock class {self.name!r} has rank {row.rank} and flags {row.flags} "
                f"in arena {arena.name!r}, not rank {self.rank} and flags {self.flags}"
            )
        arena.class_ids[self] = number
        return number


def class_id(arena: Arena, name: str, options: dict[str, Any], **defaults: Any) -> int:
    """Number of the class ``name``: as it is declared, or made from ``options`` over ``defaults``.

    A lock asked for by name alone does not say what its class is like, so it cannot contradict.
    """
    wanted = encoded("lock class name", name, MAX_NAME)
    if not options:
        for number in range(1, min(arena.header.class_count, _native.CONSTANTS["MAX_CLASSES"])):
            if _row(arena, number).name == wanted:
                return number
    return LockClass(name, **{**defaults, **options}).declare(arena)


def _row(arena: Arena, number: int) -> Any:
    at = arena.header.classes + number * _native.LAYOUT["hd_class"][0]
    return native.LockClass.from_buffer(arena.mapping, at)
