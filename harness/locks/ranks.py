"""Lock classes: a name, a rank, and what may be done while one is held.

The rank of a lock is declared once, where the class is; a lower rank is taken first.
"""

from dataclasses import dataclass
from typing import Any

from harness import _native

_C = _native.CONSTANTS


@dataclass(frozen=True)
class LockClass:
    """All locks of one kind.

    ``may_sleep``: may be held while sleeping or doing I/O.  ``nest``: several at a time, in any
    order.  ``chain``: several at a time, along a link only; (record name, link field) for the reader,
    the addresses are given by ``set_chain`` when the table exists.  ``rank`` 0: only the order
    that is seen counts.
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

    def declare(self, arena: Any) -> int:
        """Number of this class in an arena (a harness Arena or its native half)."""
        native = getattr(arena, "native", arena)
        return int(native.declare_class(self.name, self.rank, self.flags))
