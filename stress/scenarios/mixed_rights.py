"""Ranges of two kinds of memory, new and shared with a child, whose rights change in one call.

The window: rights are set entry by entry, and each entry has its own reason why its pages may not be
written just yet.
"""

from stress.ops.core import Actor, Process, allocate, fork, leave, protect, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ,
    READ_WRITE,
    exit_with_probability,
    pages_of,
    processes_read_everything,
    return_to_pool,
    with_written_heap,
    write_all,
)

HEAP, PIECES, PIECE_PAGES = 0x10000, 3, 3
PIECE = PIECE_PAGES * PAGE

scenario = Scenario(
    "mixed-rights",
    "mprotect over memory that is partly new and partly shared with children",
    pages=96,
    places=8,
    disk_ms=0.2,
)


@scenario.role("parent", count=3)
def change_rights_after_a_fork(actor: Actor, pool: ProcessPool) -> None:
    """A child, a new piece somewhere in the heap, and then everything read-only and writable again."""
    rng = actor.rng
    person = pool.take(actor) or newborn(actor)
    child = fork(actor, person)
    place = HEAP + rng.randrange(PIECES) * PIECE
    allocate(actor, person, pages_of(place, PIECE_PAGES))
    write_all(actor, person, place, PIECE_PAGES)
    touch(actor, person, False)
    protect(actor, person, HEAP, HEAP + PIECES * PIECE, READ)
    touch(actor, person, False)
    protect(actor, person, HEAP, HEAP + PIECES * PIECE, READ_WRITE)
    touch(actor, person, True)
    touch(actor, child, False)
    exit_with_probability(actor, pool, child, 0.7)
    if person.generation > 5:
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)


@scenario.role("writer")
def store_here_and_there(actor: Actor, pool: ProcessPool) -> None:
    """A process that just works in its memory."""
    person = pool.take(actor) or newborn(actor)
    touch(actor, person, True)
    touch(actor, person, False)
    exit_with_probability(actor, pool, person, 0.1)


scenario.check(processes_read_everything)


def newborn(actor: Actor) -> Process:
    """A heap, all of it written."""
    return with_written_heap(actor, HEAP, PIECES * PIECE_PAGES)


def touch(actor: Actor, person: Process, store: bool) -> None:
    """Some pages of the heap."""
    for page in actor.rng.sample(range(PIECES * PIECE_PAGES), 4):
        (write if store else read)(actor, person, HEAP + page * PAGE)
