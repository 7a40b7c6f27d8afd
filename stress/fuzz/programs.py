"""Concurrent programs as data: small, printable, played again and again by real workers.

A *program* is one to four roles of at most a dozen operations each.  The whole program is there before
any worker is forked; what a worker draws for itself is noise.

An operation names a relative by number, modulo how many the role has, so every part of a program is a
program.  What does not apply (no process, nothing mapped) is left out when it is played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_ROLES, MOST_OPERATIONS = 4, 12
PAGES: Final = 6  # of the heap
LOG_PAGES: Final = 2  # of the file that all processes share

# Each with its arguments, and how often it is drawn.
KINDS: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "take": ((), 3),  # a process from the pool joins the role's relatives
    "give": (("who",), 2),  # a process goes back to the pool
    "fork": (("who",), 5),
    "write": (("who", "page"), 6),
    "read": (("who", "page"), 4),
    "leave": (("who",), 3),
    "clean": (("who", "below"), 2),
    "log": (("who", "page"), 2),  # a store to the shared file, and msync
    "unmap": (("who", "page"), 1),
    "discard": (("who", "page"), 1),
}
LIMITS: Final = {"who": 4, "page": PAGES, "below": 2}

Operation = tuple[str | int, ...]  # a kind of KINDS and its arguments


@dataclass(frozen=True)
class Program:
    """What each role does in a round; all workers repeat their rounds at the same time."""

    roles: tuple[tuple[Operation, ...], ...]
    pages: int = 48  # frames of the VM: less than all relatives want
    seed: int = 1  # of the noise

    def size(self) -> int:
        """Operations in all."""
        return sum(len(role) for role in self.roles)
