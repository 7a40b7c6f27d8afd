"""Generated concurrent programs: small, printable, and run again and again by real workers.

A *program* is data: two to four roles of at most a dozen operations each.  ``hunt`` draws
one after the other, runs each several times under seeded noise with every oracle on, and
shrinks the first that fails to the smallest that still fails in k of n repetitions.  The
whole program is drawn before any worker is forked; what a worker draws for itself is noise.

An operation names a relative by number, modulo how many the role has, so every part of a
program is a program.  What does not apply (no process, nothing mapped) is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
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


@dataclass(frozen=True)
class Caught:
    """A program that failed, as small as it got."""

    program: Program
    verdict: str
    failed: int  # in so many
    repetitions: int
    drawn: int  # programs that were tried before, with this one
    first: Program  # before it was shrunk


Execute = Callable[[Program, int], str | None]  # one repetition; the verdict, or None when all is well


def draw(seed: int) -> Program:
    """A program; the same for the same seed."""
    rng = Random(seed)
    roles = tuple(
        tuple(draw_operation(rng) for _ in range(rng.randint(MOST_OPERATIONS // 3, MOST_OPERATIONS)))
        for _ in range(rng.randint(2, MOST_ROLES))
    )
    return Program(roles, seed=seed)


def draw_operation(rng: Random) -> Operation:
    """One operation."""
    kind = rng.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    return (kind, *(rng.randrange(LIMITS[name]) for name in KINDS[kind][0]))


def failures(program: Program, execute: Execute, k: int, n: int) -> list[str]:
    """Verdicts of up to n repetitions; stops when k failed, or when k cannot be reached any more."""
    found: list[str] = []
    for number in range(n):
        verdict = execute(program, number)
        if verdict is not None:
            found.append(verdict)
        if len(found) == k or len(found) + n - 1 - number < k:
            break
    return found


def shrink(program: Program, k: int, n: int, execute: Execute, deadline: float | None = None) -> Program:
    """The smallest program that still fails in k of n repetitions, as far as the time allows.

    Delta debugging: whole roles, then halves of a role, quarters, single operations; each
    candidate is accepted only if it fails k times by itself, since a race proves nothing once.
    To run it without one of its roles is tried in any case, however late it was found.
    """
    smaller, innocent, owed = True, set[Program](), len(program.roles)
    while smaller:
        smaller = False
        for candidate in candidates(program):
            owed -= 1
            if deadline is not None and owed < 0 and time.monotonic() > deadline:
                return program
            if candidate in innocent:
                continue
            if len(failures(candidate, execute, k, n)) < k:
                innocent.add(candidate)
            else:
                program, smaller = candidate, True
                break
    return program


def candidates(program: Program) -> Iterator[Program]:
    """Programs that lack something of this one, those that lack most first."""
    roles = program.roles
    if len(roles) > 1:
        for gone in range(len(roles)):
            yield replace(program, roles=roles[:gone] + roles[gone + 1 :])
    longest = max(len(role) for role in roles)
    piece = longest // 2 or 1
    while True:
        for number, role in enumerate(roles):
            for start in range(0, len(role), piece):
                less = role[:start] + role[start + piece :]
                if len(less) < len(role) and less:
                    yield replace(program, roles=(*roles[:number], less, *roles[number + 1 :]))
        if piece == 1:
            return
        piece //= 2
