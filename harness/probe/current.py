"""The one seam in running code: a named point on the arena that this process uses.

It costs one call when no arena is in use.  In an arena whose mode says so the point is recorded
and delayed, as lock operations are.
"""

from typing import Any

from harness.shm.arena import Arena

_current: "Arena | None" = None


def _nowhere(_name: str, _argument: int = 0) -> None:
    """No arena: nothing records or delays."""


_point: Any = _nowhere


def use(arena: "Arena | None") -> "Arena | None":
    """Make ``arena`` (or none) the one that ``point`` means in this process; returns the one before.

    A child of fork keeps its parent's choice.
    """
    global _current, _point
    before = _current
    _current = arena
    _point = _nowhere if arena is None else arena.native.point
    return before


def current() -> "Arena | None":
    """The arena that ``point`` means in this process."""
    return _current


def point(name: str, argument: int = 0) -> None:
    """Pass the place ``name``; ``argument`` (64 bits) is shown beside it in the event ring."""
    _point(name, argument)
