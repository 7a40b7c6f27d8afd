"""The order in which lock classes were taken, as the C core saw it, and where it was broken.

An edge "a before b" exists as soon as any thread anywhere asked for a lock of class b while
it held one of class a (try-locks add none for themselves).  Both sites are those of
the first time.  Only edges of waits without limit can close a cycle.  A cycle is a
violation when its takings can all be under way at once: each by a thread of its own, no
two of them under one lock that keeps the other out.  Between two locks of one class it is the
locks that count.  Reads the arena and changes nothing.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import msgspec

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.names import site_text

_C = _native.CONSTANTS


@dataclass(frozen=True)
class ClassInfo:
    """A lock class as declared in the arena."""

    id: int
    name: str
    rank: int
    flags: int


class OrderEdge(msgspec.Struct, frozen=True, kw_only=True):
    """``before`` was held at ``before_site`` while ``after`` was taken at ``after_site``."""

    before: str
    after: str
    before_site: str  # file:line function
    after_site: str
    seat: int = 0
    when: int = 0  # coarse monotonic ns
    blocking: bool = True  # was taken by a wait without limit
    bad: bool = False  # against rank, or it closed a cycle


def classes(arena: "Arena") -> list[ClassInfo]:
    """Every declared class, in the order of their numbers (1 ...)."""
    size = ctypes.sizeof(native.LockClass)
    found = []
    for number in range(1, min(arena.header.class_count, _C["MAX_CLASSES"])):
        row: Any = native.LockClass.from_buffer(arena.mapping, arena.header.classes + number * size)
        if row.state != 2:
            continue  # the thread that claimed it was killed before it had a name: no lock has this number
        found.append(ClassInfo(number, row.name.decode(errors="replace"), int(row.rank), int(row.flags)))
    return found


def edges(arena: "Arena") -> list[OrderEdge]:
    """Every observed pair of classes, with the sites of the first time; same class twice included."""
    names = class_names(arena)
    order = memoryview(arena.mapping)[arena.header.order :][: 8 * _C["MAX_CLASSES"]].cast("Q")
    found = []
    for after in names:
        for before in names:
            edge = _edge(arena, before, after)
            # Two locks of one class have no bit in the bitmap: their order is a matter of the chain.
            if order[after] >> before & 1 or (before == after and edge.count):
                found.append(
                    OrderEdge(
                        before=names[before],
                        after=names[after],
                        before_site=site_text(arena.native.site(edge.from_site)),
                        after_site=site_text(arena.native.site(edge.to_site)),
                        seat=int(edge.seat),
                        when=int(edge.when),
                        blocking=bool(edge.kinds) or before == after,
                        bad=bool(edge.flags & _C["EDGE_BAD"]),
                    )
                )
    return found


def class_names(arena: "Arena") -> dict[int, str]:
    """By their numbers; 0 is no class."""
    return {0: "", **{row.id: row.name for row in classes(arena)}}


def _edge(arena: "Arena", before: int, after: int) -> Any:
    at = (before * _C["MAX_CLASSES"] + after) * ctypes.sizeof(native.Edge)
    return native.Edge.from_buffer(arena.mapping, arena.header.edges + at)
