"""The C lock core: one deliberate error at a time, and the programs of tests/native that must notice.

The quick ones come first, and the first that fails ends it; so an error costs a few seconds as a rule, and
a survivor a minute or two.  core.md beside this file argues for those that nothing can notice.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ci.mutants.core_locks import LOCKS, MUTEX, RWLOCK, WORDS
from ci.mutants.core_rest import REPORTS, REST
from ci.mutants.engine import Command, Mutant, Suite

PROGRAMS = ("rules", "test_core", "order_race", "seat_race", "hostile", "wakes", "chaos", "killstep")
ENV = (("PROVE_GATE_S", "12"),)  # of a mutant that hangs; the proofs themselves wait longer
EVERY = 61  # the killer's positions: prime, a quarter of `make prove`
EVERY_OF = {30: 7}  # the estate of a dead one: each of its windows is short
MUTEX_OPERATIONS, RW_OPERATIONS, OTHERS = range(9), range(9, 29), range(29, 47)
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \|$", re.MULTILINE)


def argued(mutants: Sequence[Mutant]) -> tuple[Mutant, ...]:
    """Each with its row of core.md, if it has one.  Raises ValueError for a row of no mutant."""
    page = Path(__file__).with_suffix(".md")
    rows = dict(ROW.findall(page.read_text()))
    unknown = rows.keys() - {mutant.name for mutant in mutants}
    if unknown:
        raise ValueError(f"{page.name} argues for what is not tried: {', '.join(sorted(unknown))}")
    return tuple(replace(mutant, equivalent=rows.get(mutant.name, "")) for mutant in mutants)


def operations(mutant: Mutant) -> Sequence[int]:
    """Of the killer: those that the error is in; the unchanged core needs only a few."""
    if not mutant.file:
        return (0, 9, 29)
    if mutant in MUTEX:
        return [*MUTEX_OPERATIONS, 30, 32]
    if mutant in RWLOCK:
        return [*RW_OPERATIONS, 30, 32]
    if mutant in WORDS:
        return [*MUTEX_OPERATIONS, *RW_OPERATIONS]
    if mutant in REPORTS:
        return [*range(36, 44), 46, 0]
    return [*OTHERS, *MUTEX_OPERATIONS]


def program(name: str, limit: float, *words: str) -> Command:
    return Command(" ".join((name, *words)), (f"{{root}}/programs/{name}", *words), limit, ENV)


def tries(mutant: Mutant) -> Sequence[Command]:
    """The quickest first; killstep, the slowest, by operation."""
    plain = replace(mutant, equivalent="")
    return [
        program("rules", 240),
        program("test_core", 130),
        program("wakes", 120),
        program("hostile", 120, "500"),
        program("chaos", 180, "400"),
        program("order_race", 120, "300"),
        program("seat_race", 120, "150", "4"),
        *(program("killstep", 1800, str(n), str(EVERY_OF.get(n, EVERY))) for n in operations(plain)),
    ]


SUITE = Suite(
    name="core",
    mutants=argued((*LOCKS, *REST)),
    copy=("harness/locks/native", "tests/native"),
    tries=tries,
    build=(
        Command(
            "build",
            (
                "make", "-s", "-f", "tests/native/Makefile", "OUT={root}/programs", "WERROR=-w",
                *(f"{{root}}/programs/{name}" for name in PROGRAMS),
            ),
            300,
        ),
    ),
)  # fmt: skip
