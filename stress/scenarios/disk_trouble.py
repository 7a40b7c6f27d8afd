"""A store that refuses, puts off and fails writes, and finishes them out of order, while memory is short.

The window: a write has failed, and the only copy of the page is in memory; if the write is taken for done,
that copy is dropped.  Loads never fail here, so whatever is read must be right.
"""

from functools import partial

from stress.ops.core import Actor, Process, allocate, clean, create_process, fork, leave, read, write
from stress.ops.placement import if_there_is_room
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_what_they_can, return_to_pool

HEAP, HEAP_PAGES = 0x10000, 20
COMMON, COMMON_PAGES = 0x30000, 6  # shared with children

scenario = Scenario(
    "disk-trouble",
    "page-outs that are refused, fail, are put off and finish out of order",
    pages=72,
    places=6,
    disk_ms=1.0,
    faults={
        "put_fail": 0.05, "put_error": 0.1, "put_again": 0.05, "disk_error": 0.15, "overtaken": 0.1,
        "late": 0.05,
    },
)  # fmt: skip


@scenario.role("user", count=2)
def store_and_load(actor: Actor, pool: ProcessPool) -> None:
    """A process whose memory goes to the disk and comes back, as far as the disk allows."""
    person = pool.take(actor) or newborn(actor)
    for _ in range(8):
        touch(actor, person, actor.rng.random() < 0.5)
    if actor.rng.random() < 0.1:
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)


@scenario.role("parent")
def fork_and_bury(actor: Actor, pool: ProcessPool) -> None:
    """A child that stores a little and leaves: what failed to be written must survive the collapse."""
    parent = pool.take(actor) or newborn(actor)
    children: list[Process] = []
    if if_there_is_room(actor, lambda: children.append(fork(actor, parent))):
        for _ in range(4):
            touch(actor, children[0], True)
            touch(actor, parent, True)
        leave(actor, children[0])
    return_to_pool(actor, pool, parent)


@scenario.role("syncer")
def clean_a_piece(actor: Actor, pool: ProcessPool) -> None:
    """Sync anonymous memory, waiting or not; it may fail, and nothing else may."""
    person = pool.take(actor) or newborn(actor)
    first = actor.rng.randrange(HEAP_PAGES - 4)
    start = COMMON if actor.rng.random() < 0.3 else HEAP + first * PAGE
    if_there_is_room(actor, partial(clean, actor, person, start, start + 4 * PAGE, actor.rng.random() < 0.6))
    touch(actor, person, False)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_what_they_can)


def newborn(actor: Actor) -> Process:
    """A heap, and memory that children will share; nothing of it is there yet."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    allocate(actor, person, pages_of(COMMON, COMMON_PAGES, shared=True))
    return person


def touch(actor: Actor, person: Process, store: bool) -> None:
    """One load or store somewhere."""
    page = actor.rng.randrange(HEAP_PAGES + COMMON_PAGES)
    va = HEAP + page * PAGE if page < HEAP_PAGES else COMMON + (page - HEAP_PAGES) * PAGE
    if_there_is_room(actor, partial(write if store else read, actor, person, va))
