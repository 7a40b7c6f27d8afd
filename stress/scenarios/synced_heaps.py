"""Heaps that were never in swap are synced by one thread while others fork, and fault them in.

The window: a sync of anonymous memory makes its pager, with the object unlocked; meanwhile a collapse may
bring the pager of the object below, or another thread may be making one, too.
"""

from stress.ops.core import Actor, allocate, create_process, fork, leave, share
from stress.ops.files import sync
from stress.ops.shared import peek, poke
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, return_to_pool

HEAP, HEAP_PAGES = 0x10000, 6
END = HEAP + HEAP_PAGES * PAGE

scenario = Scenario(
    "synced-heaps",
    "heaps that one thread syncs while another forks and a third pages them in",
    pages=40,
    places=9,
    disk_ms=0.5,
)


@scenario.setup
def two_programs(actor: Actor, pool: ProcessPool) -> None:
    """Each with three threads, which never end while the run goes on."""
    for _ in range(2):
        first = create_process(actor)
        first.journal.crowd()
        allocate(actor, first, pages_of(HEAP, HEAP_PAGES), draw=False)
        for _ in range(3):
            pool.put(actor, share(actor, first))
        pool.put(actor, first)


@scenario.role("forker", count=2)
def fork_and_bury(actor: Actor, pool: ProcessPool) -> None:
    """Children come and go; each leaves a shadow behind that has pages and no pager."""
    thread = pool.take(actor)
    if thread is None:
        return
    child = fork(actor, thread)
    for _ in range(3):
        poke(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    leave(actor, child)
    for _ in range(3):
        poke(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    return_to_pool(actor, pool, thread)


@scenario.role("syncer", count=2)
def sync_the_heap(actor: Actor, pool: ProcessPool) -> None:
    """Everything to the disk, again and again."""
    thread = pool.take(actor)
    if thread is None:
        return
    for _ in range(3):
        sync(actor, thread, HEAP, END, actor.rng.random() < 0.5, False)
        peek(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    return_to_pool(actor, pool, thread)


@scenario.role("pressure")
def eat_memory(actor: Actor, pool: ProcessPool) -> None:
    """A process that keeps the daemon awake."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, 4 * HEAP_PAGES), draw=False)
    for page in range(4 * HEAP_PAGES):
        poke(actor, person, HEAP + page * PAGE)
    leave(actor, person)
