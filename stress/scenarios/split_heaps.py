"""A heap is shared with a child, cut in two, and half of it unmapped, while other threads page it in.

The window: both halves shadow one object; an unmap of the one half leaves the other alone above the object,
to collapse with it at once, while another thread's page-in from the object wants the map next.
"""

from stress.ops.core import Actor, allocate, create_process, fork, leave, protect, share, unmap
from stress.ops.shared import peek, poke
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, READ_WRITE, pages_of, return_to_pool

HEAP, HALF = 0x10000, 10
MIDDLE, END = HEAP + HALF * PAGE, HEAP + 2 * HALF * PAGE

scenario = Scenario(
    "split-heaps",
    "threads that page a heap in while one of them forks, splits and unmaps it",
    pages=24,
    places=6,
    disk_ms=2.0,
)


@scenario.setup
def one_program(actor: Actor, pool: ProcessPool) -> None:
    """All its threads; they never end while the run goes on."""
    first = create_process(actor)
    first.journal.crowd()
    allocate(actor, first, pages_of(HEAP, 2 * HALF), draw=False)
    for _ in range(4):
        pool.put(actor, share(actor, first))
    pool.put(actor, first)


@scenario.role("toucher", count=3)
def touch_the_heap(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores, some where nothing is mapped just now."""
    thread = pool.take(actor)
    if thread is None:
        return
    for _ in range(5):
        va = HEAP + actor.rng.randrange(2 * HALF) * PAGE
        (poke if actor.rng.random() < 0.3 else peek)(actor, thread, va)
    return_to_pool(actor, pool, thread)


@scenario.role("splitter")
def split_the_heap(actor: Actor, pool: ProcessPool) -> None:
    """A heap that was copied once, in two pieces with a shadow each; then one piece goes."""
    thread = pool.take(actor)
    if thread is None:
        return
    allocate(actor, thread, pages_of(HEAP, 2 * HALF), draw=False)
    for va in range(HEAP, END, PAGE):
        poke(actor, thread, va)
    child = fork(actor, thread)
    protect(actor, thread, MIDDLE, END, READ_WRITE, draw=False)  # as it is, but an entry of its own
    for start in (HEAP, MIDDLE):
        poke(actor, thread, start + actor.rng.randrange(HALF) * PAGE)
    leave(actor, child)
    for _ in range(6):
        peek(actor, thread, HEAP + actor.rng.randrange(2 * HALF) * PAGE)
    half = actor.rng.choice((HEAP, MIDDLE))
    unmap(actor, thread, half, half + HALF * PAGE, draw=False)
    return_to_pool(actor, pool, thread)
