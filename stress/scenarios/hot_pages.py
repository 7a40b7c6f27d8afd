"""Every process walks through more memory than there is, reads on, and stores a little way behind.

The window: a page that was only read since it came back from the disk has grown old, and the daemon judges it
clean, when its user stores to it through the mapping that is still there.
"""

from stress.ops.core import Actor, Process, allocate, create_process, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_everything, return_to_pool

HEAP, HEAP_PAGES = 0x10000, 24
WALK = 48  # pages of one visit: twice through the heap
BEHIND = (3, 14)  # where the daemon is: of 44 frames each of four users has about eleven

scenario = Scenario(
    "hot-pages",
    "pages that are used while the daemon judges them",
    pages=44,
    places=6,
    disk_ms=0.05,
)


@scenario.role("user", count=4)
def walk(actor: Actor, pool: ProcessPool) -> None:
    """Read on and on, and store to every other page before it is forgotten."""
    person = pool.take(actor) or user(actor)
    rng = actor.rng
    first = rng.randrange(HEAP_PAGES)
    for step in range(WALK):
        read(actor, person, HEAP + (first + step) % HEAP_PAGES * PAGE)
        if rng.random() < 0.5:
            write(actor, person, HEAP + (first + step - rng.randrange(*BEHIND)) % HEAP_PAGES * PAGE)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def user(actor: Actor) -> Process:
    """Memory of which nothing is there yet."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    return person
