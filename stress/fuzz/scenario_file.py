"""A program as a scenario: how its operations are played, and the file that plays it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from stress.fuzz.programs import KINDS, LOG_PAGES, PAGES, Operation, Program
from stress.ops.core import (
    Actor,
    Process,
    allocate,
    clean,
    create_process,
    discard,
    fork,
    leave,
    map_file,
    read,
    unmap,
    write,
)
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    file_pages,
    pages_of,
    processes_read_everything,
    return_to_pool,
    write_all,
)

HEAP, LOG = 0x10000, 0x100000
OLDEST = 5  # generations in one line
PLACES = 8
MOST_RELATIVES = 4  # of one role at a time

HEADER = '''"""{about}

    {again}
"""

from stress.fuzz.scenario_file import scenario_of
from stress.fuzz.programs import Program

program = Program(
    roles=(
'''


def scenario_of(program: Program, name: str = "program") -> Scenario:
    """The scenario that plays a program; its roles are numbered."""
    scenario = Scenario(
        name, "a generated program", pages=program.pages, files=(LOG_PAGES,), places=PLACES, disk_ms=0.3
    )
    scenario.setup(two_families)
    for number, operations in enumerate(program.roles, 1):
        scenario.role(f"role {number}")(partial(play, operations))
    scenario.check(processes_read_everything)
    return scenario


def as_scenario(
    program: Program,
    about: str = "A generated program.",
    again: str = "hangdog run --scenario program.py",
) -> str:
    """A ready-to-run scenario file, for ``hangdog run --scenario FILE``; ``again``: how it is played."""
    lines = [HEADER.format(about=about, again=again).rstrip("\n")]
    for role in program.roles:
        lines.append("        (")
        lines += [f"            {show(operation)}" for operation in role]
        lines.append("        ),")
    lines += [
        "    ),",
        f"    pages={program.pages},",
        f"    seed={program.seed},",
        ")",
        "scenario = scenario_of(program)",
    ]
    return "\n".join(lines) + "\n"


def show(operation: Operation) -> str:
    """One line of the file, with what the numbers are."""
    kind, *values = operation
    if not values:
        return f'("{kind}",),'
    said = ", ".join(KINDS[str(kind)][0])
    return f'("{kind}", {", ".join(map(str, values))}),  # {said}'


def listed(role: Iterable[Sequence[str | int]]) -> str:
    """A role in one line, for reading."""
    return ", ".join(" ".join(map(str, operation)) for operation in role)


# --- the processes


def two_families(actor: Actor, pool: ProcessPool) -> None:
    """The ancestors."""
    for _ in range(2):
        return_to_pool(actor, pool, new_family(actor))


def new_family(actor: Actor) -> Process:
    """An ancestor with a heap and the shared log."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, PAGES))
    map_file(actor, person, file_pages(LOG, LOG_PAGES, 0, shared=True))
    write_all(actor, person, HEAP, PAGES)
    return person


# --- one round of a role


def play(operations: tuple[Operation, ...], actor: Actor, pool: ProcessPool) -> None:
    """Take a process, do the operations, put all back into the pool."""
    relatives = [pool.take(actor) or new_family(actor)]
    for kind, *values in operations:
        if kind == "take":
            if len(relatives) < MOST_RELATIVES:
                relatives.append(pool.take(actor) or new_family(actor))
        elif relatives:
            who, *rest = values
            ACTS[str(kind)](actor, pool, relatives, int(who) % len(relatives), *map(int, rest))
    for person in relatives:
        return_to_pool(actor, pool, person)


def fork_one(actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int) -> None:
    """A child, if there is room and the line is not too old."""
    if len(relatives) < MOST_RELATIVES and relatives[who].generation < OLDEST:
        relatives.append(fork(actor, relatives[who]))


def give(actor: Actor, pool: ProcessPool, relatives: list[Process], who: int) -> None:
    """Back to the pool in the middle of the round."""
    return_to_pool(actor, pool, relatives.pop(who))


def depart(actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int) -> None:
    """Exit."""
    leave(actor, relatives.pop(who))


def touch(
    store: bool, actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int, page: int
) -> None:
    """Load or store a page of the heap, if it is still there."""
    va = HEAP + page * PAGE
    if relatives[who].picture.parts(va, va + PAGE):
        (write if store else read)(actor, relatives[who], va)


def clean_heap(actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int, below: int) -> None:
    """Msync of the heap, or of what lies behind it."""
    clean(actor, relatives[who], HEAP, HEAP + PAGES * PAGE, True, bool(below))


def write_log(actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int, page: int) -> None:
    """A store to the shared file, and msync."""
    write(actor, relatives[who], LOG + page % LOG_PAGES * PAGE)
    clean(actor, relatives[who], LOG, LOG + LOG_PAGES * PAGE, True)


def lose(
    drop: bool, actor: Actor, _stage: ProcessPool, relatives: list[Process], who: int, page: int
) -> None:
    """Unmap a page of the heap, or forget what is on it."""
    va = HEAP + page * PAGE
    if relatives[who].picture.parts(va, va + PAGE):
        (unmap if drop else discard)(actor, relatives[who], va, va + PAGE)


ACTS: dict[str, Callable[..., None]] = {
    "give": give,
    "fork": fork_one,
    "write": partial(touch, True),
    "read": partial(touch, False),
    "leave": depart,
    "clean": clean_heap,
    "log": write_log,
    "unmap": partial(lose, True),
    "discard": partial(lose, False),
}
