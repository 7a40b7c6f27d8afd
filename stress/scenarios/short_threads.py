"""Programs with several threads that all end at about the same time.

The window: the users of one address space count themselves out at once, and only the last of them may
take it down, when no other is looking into its map any more.
"""

from stress.ops.core import Actor, Process, allocate, create_process, leave, read, share, write
from stress.oracles.at_rest import Leak
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, return_to_pool

THREADS = 4
HEAP, HEAP_PAGES = 0x10000, 4

scenario = Scenario(
    "short-threads",
    "programs of several threads that exit together",
    pages=64,
    places=12,
)


@scenario.role("thread", count=4)
def run_one_thread(actor: Actor, pool: ProcessPool) -> None:
    """Take a thread that waits to run, or start a program; touch a page, and end."""
    thread = pool.take(actor) or program(actor, pool)
    va = HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE
    (write if actor.rng.random() < 0.5 else read)(actor, thread, va)
    leave(actor, thread)


@scenario.check
def every_space_has_a_user(actor: Actor, pool: ProcessPool) -> None:
    """The spaces that exist are those of the threads that still wait to run."""
    waiting = []
    while (thread := pool.take(actor)) is not None:
        waiting.append(thread)
    spaces, used = actor.vm.vmspaces.in_use(), {thread.space.slot for thread in waiting}
    if spaces != len(used):
        raise Leak([f"there are {spaces} address spaces, and only {len(used)} of them have a process"])
    for thread in waiting:
        return_to_pool(actor, pool, thread)


def program(actor: Actor, pool: ProcessPool) -> Process:
    """Its first thread; the others wait in the pool."""
    first = create_process(actor)
    allocate(actor, first, pages_of(HEAP, HEAP_PAGES))
    first.journal.crowd()
    for _ in range(THREADS - 1):
        other = share(actor, first)
        if not pool.put(actor, other):
            leave(actor, other)
    return first
