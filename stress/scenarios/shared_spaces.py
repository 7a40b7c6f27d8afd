"""Several threads in one map: one unmaps and maps again what the others are just touching.

The window: an unmap holds the map for writing while another thread's page is on its way in with the map
unlocked, and drops references whose collapse must not wait for that very page.
"""

from stress.ops.core import Actor, Process, allocate, fork, leave, share, unmap
from stress.ops.shared import peek, poke
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    pages_of,
    processes_read_everything,
    random_accesses,
    with_written_heap,
)

HEAP, HEAP_PAGES = 0x10000, 8  # steady ground, each thread's own pages
SHIFTING, SHIFTING_PAGES = 0x40000, 10  # mapped and unmapped by any thread

scenario = Scenario(
    "shared-spaces",
    "threads of one address space that fault where others unmap, while forks and page-out go on",
    pages=72,
    places=12,
    disk_ms=0.3,
)


@scenario.setup
def two_programs(actor: Actor, pool: ProcessPool) -> None:
    """Each with two threads."""
    for _ in range(2):
        start_threads(actor, pool)


@scenario.role("thread", count=2)
def touch_shifting_ground(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores where the memory may just be gone."""
    thread = pool.take(actor)
    if thread is None:
        start_threads(actor, pool)
        return
    for _ in range(6):
        va = SHIFTING + actor.rng.randrange(SHIFTING_PAGES) * PAGE
        (poke if actor.rng.random() < 0.6 else peek)(actor, thread, va)
    done(actor, pool, thread, 0.08)


@scenario.role("mapper")
def shift_the_ground(actor: Actor, pool: ProcessPool) -> None:
    """Unmap a piece, or map it again: zeros from then on."""
    thread = pool.take(actor)
    if thread is None:
        start_threads(actor, pool)
        return
    first = actor.rng.randrange(SHIFTING_PAGES)
    count = actor.rng.randrange(1, SHIFTING_PAGES - first + 1)
    start = SHIFTING + first * PAGE
    if actor.rng.random() < 0.5:
        unmap(actor, thread, start, start + count * PAGE, draw=False)
    allocate(actor, thread, pages_of(start, count), draw=False)
    poke(actor, thread, start)
    done(actor, pool, thread, 0.04)


@scenario.role("forker")
def fork_a_threaded_program(actor: Actor, pool: ProcessPool) -> None:
    """A child with a copy of everything, in a space of its own; it uses the steady part."""
    thread = pool.take(actor)
    if thread is None:
        start_threads(actor, pool)
        return
    child = fork(actor, thread)
    random_accesses(actor, child)
    for page in range(SHIFTING_PAGES):
        poke(actor, child, SHIFTING + page * PAGE)
    leave(actor, child)
    done(actor, pool, thread, 0.04)


scenario.check(processes_read_everything)


def start_threads(actor: Actor, pool: ProcessPool) -> None:
    """A program with two threads; each may end up with another worker."""
    first = with_written_heap(actor, HEAP, HEAP_PAGES)
    allocate(actor, first, pages_of(SHIFTING, SHIFTING_PAGES), draw=False)
    first.journal.crowd()
    second = share(actor, first)
    for thread in (first, second):
        if not pool.put(actor, thread):
            leave(actor, thread)


def done(actor: Actor, pool: ProcessPool, thread: Process, dies: float) -> None:
    """The thread ends, or waits in the pool to be run again."""
    random_accesses(actor, thread, 2, 2)
    if actor.rng.random() < dies or not pool.put(actor, thread):
        leave(actor, thread)
