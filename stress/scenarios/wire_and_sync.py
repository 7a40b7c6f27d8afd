"""Shared memory is wired and unwired by some while others sync it.

The window: a page is being written when its last wiring goes, so the thread that owns it must decide after
the write on which queue the page belongs, not before.
"""

from stress.ops.core import Actor, allocate, clean, create_process, fork, write
from stress.ops.wiring import unwire, wire
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_everything, return_to_pool, write_all

COMMON, COMMON_PAGES = 0x10000, 5

scenario = Scenario(
    "wire-and-sync",
    "memory in common that is wired and unwired while it is synced",
    pages=72,
    places=8,
    disk_ms=0.5,
)


@scenario.setup
def a_crowd(actor: Actor, pool: ProcessPool) -> None:
    """One for each worker, all with the same memory."""
    first = create_process(actor)
    allocate(actor, first, pages_of(COMMON, COMMON_PAGES, shared=True))
    write_all(actor, first, COMMON, COMMON_PAGES)
    for _ in range(5):
        return_to_pool(actor, pool, fork(actor, first))
    return_to_pool(actor, pool, first)


@scenario.role("wirer", count=2)
def wire_and_unwire(actor: Actor, pool: ProcessPool) -> None:
    """Wire a piece, store to it, give it up."""
    person = pool.take(actor)
    if person is None:
        return
    start, end = piece_of(actor)
    if wire(actor, person, start, end):
        write(actor, person, start)
        unwire(actor, person, start, end)
    return_to_pool(actor, pool, person)


@scenario.role("syncer", count=2)
def store_and_sync(actor: Actor, pool: ProcessPool) -> None:
    """Make a piece dirty and have it written, waiting for it or not."""
    person = pool.take(actor)
    if person is None:
        return
    start, end = piece_of(actor)
    write(actor, person, start)
    clean(actor, person, start, end, actor.rng.random() < 0.5)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def piece_of(actor: Actor) -> tuple[int, int]:
    """Some pages of what all have in common."""
    first = actor.rng.randrange(COMMON_PAGES)
    return COMMON + first * PAGE, COMMON + actor.rng.randrange(first + 1, COMMON_PAGES + 1) * PAGE
