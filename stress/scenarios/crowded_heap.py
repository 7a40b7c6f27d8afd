"""One memory in common, larger than all frames: at nearly every moment some process reads a page of it back.

The window: a sync waits until no process pages on the object, is woken when that is so, and by the time it
has the object's lock the next page-in has begun.
"""

from stress.ops.core import Actor, allocate, clean, create_process, fork, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_everything, return_to_pool

COMMON, COMMON_PAGES = 0x10000, 56
CROWD = 12
LOADS = 30

scenario = Scenario(
    "crowded-heap",
    "a memory in common that does not fit, read by a crowd while one syncs it",
    pages=48,
    places=16,
    disk_ms=0.2,
    noise="none",
)


@scenario.setup
def a_crowd(actor: Actor, pool: ProcessPool) -> None:
    """All with the same memory."""
    first = create_process(actor)
    allocate(actor, first, pages_of(COMMON, COMMON_PAGES, shared=True))
    for _ in range(CROWD):
        return_to_pool(actor, pool, fork(actor, first))
    return_to_pool(actor, pool, first)


@scenario.role("syncer")
def sync_a_page(actor: Actor, pool: ProcessPool) -> None:
    """Store to a page and have it written, without waiting for the write."""
    person = pool.take(actor)
    if person is None:
        return
    page = COMMON + actor.rng.randrange(COMMON_PAGES) * PAGE
    write(actor, person, page)
    clean(actor, person, page, page + PAGE, sync=False)
    return_to_pool(actor, pool, person)


@scenario.role("reader", count=7)
def read_here_and_there(actor: Actor, pool: ProcessPool) -> None:
    """Loads of pages that are in swap, as a rule."""
    person = pool.take(actor)
    if person is None:
        return
    for _ in range(LOADS):
        va = COMMON + actor.rng.randrange(COMMON_PAGES) * PAGE
        (write if actor.rng.random() < 0.1 else read)(actor, person, va)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)
