"""Heaps grow page by page at their end, shrink, and grow again, while memory is short.

The window: a range that is mapped next to another extends the same object (coalesce), whose size is
read by the process that makes a pager for it, and whose pages beyond the old end must not come back.
"""

from stress.ops.core import Actor, Process, allocate, fork, read, unmap
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    pages_of,
    processes_read_everything,
    random_accesses,
    with_written_heap,
    write_all,
)

HEAP = 0x10000
LEAST, MOST = 2, 28  # pages of a heap

scenario = Scenario(
    "heap-growth",
    "heaps that grow at their end, shrink and grow again while they are paged out",
    pages=72,
    places=10,
    disk_ms=0.2,
)


@scenario.role("program", count=3)
def grow_or_shrink(actor: Actor, pool: ProcessPool) -> None:
    """Move the break; what is new reads zeros, whatever was there before."""
    rng = actor.rng
    person = pool.take(actor) or newborn(actor)
    end = heap_end(person)
    pages = (end - HEAP) // PAGE
    if pages < MOST and rng.random() < 0.6:
        more = rng.randrange(1, min(5, MOST - pages + 1))
        allocate(actor, person, pages_of(end, more))
        read(actor, person, end + rng.randrange(more) * PAGE)
        write_all(actor, person, end, rng.randrange(more + 1))
    elif pages > LEAST:
        unmap(actor, person, end - rng.randrange(1, pages - LEAST + 1) * PAGE, end)
    random_accesses(actor, person)
    exit_with_probability(actor, pool, person, 0.05)


@scenario.role("shell")
def fork_a_grown_heap(actor: Actor, pool: ProcessPool) -> None:
    """A child with the same heap; both grow on from there."""
    person = pool.take(actor) or newborn(actor)
    if person.generation < 6:
        child = fork(actor, person)
        random_accesses(actor, child)
        exit_with_probability(actor, pool, child, 0.5)
    exit_with_probability(actor, pool, person, 0.2)


scenario.check(processes_read_everything)


def newborn(actor: Actor) -> Process:
    """The smallest heap."""
    return with_written_heap(actor, HEAP, LEAST)


def heap_end(person: Process) -> int:
    """The break."""
    return max(piece.end for piece in person.picture)
