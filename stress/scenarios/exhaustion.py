"""More memory is asked for than there are frames and swap together.

The window: every process waits for memory, the daemon finds nothing that it could write, and must say so
to all of them; a process that is told "no memory" gives something back, and what was written is still there.
"""

from functools import partial

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, read, unmap, write
from stress.ops.placement import if_there_is_room
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_what_they_can, return_to_pool

HEAP, HEAP_PAGES = 0x10000, 40
PIECE = 8

scenario = Scenario(
    "exhaustion",
    "processes that want more than memory and swap together, and are told so in good order",
    pages=64,
    places=6,
    tables={"swap_pages": 96},
)


@scenario.role("eater", count=3)
def eat_until_there_is_no_more(actor: Actor, pool: ProcessPool) -> None:
    """Store page after page; at the first refusal give a piece back, or die."""
    person = pool.take(actor) or hungry(actor)
    for _ in range(HEAP_PAGES):
        page = actor.rng.randrange(HEAP_PAGES)
        if person.picture.parts(HEAP + page * PAGE, HEAP + page * PAGE + 1):
            if not if_there_is_room(actor, partial(write, actor, person, HEAP + page * PAGE)):
                give_something_back(actor, person)
                break
            if_there_is_room(actor, partial(read, actor, person, HEAP + page * PAGE))
    if actor.rng.random() < 0.3:
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)


@scenario.role("parent")
def fork_without_room(actor: Actor, pool: ProcessPool) -> None:
    """A fork needs records, its children's stores need frames: either may be refused."""
    person = pool.take(actor) or hungry(actor)
    children: list[Process] = []
    for _ in range(3):
        if_there_is_room(actor, lambda: children.append(fork(actor, person)))
    for child in children:
        for page in actor.rng.sample(range(HEAP_PAGES), 6):
            va = HEAP + page * PAGE
            if child.picture.parts(va, va + 1):
                if_there_is_room(actor, partial(write, actor, child, va))
        leave(actor, child)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_what_they_can)


def hungry(actor: Actor) -> Process:
    """A heap of which nothing is there yet."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    return person


def give_something_back(actor: Actor, person: Process) -> None:
    """Unmap a piece."""
    first = actor.rng.randrange(HEAP_PAGES - PIECE)
    unmap(actor, person, HEAP + first * PAGE, HEAP + (first + PIECE) * PAGE)
