"""Ranges are wired and given up, made read-only and writable, forked and written, all at once.

The window: a wired page of a parent is the source of a child's copy, a wirer waits for a page whose
owner wants the map, and a range that becomes writable must exchange the page that it has wired.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, protect, read
from stress.ops.wiring import unwire, wire
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ,
    READ_WRITE,
    exit_with_probability,
    pages_of,
    processes_read_everything,
    random_accesses,
    return_to_pool,
    write_all,
)

HEAP, HEAP_PAGES = 0x10000, 10
COMMON, COMMON_PAGES = 0x30000, 4  # shared with children

scenario = Scenario(
    "wire-storm",
    "mlock, munlock and mprotect on memory that is forked, shared and paged out",
    pages=120,
    places=8,
    disk_ms=0.2,
)


@scenario.setup
def one_family(actor: Actor, pool: ProcessPool) -> None:
    """Two processes that share some memory from the start."""
    parent = newborn(actor)
    return_to_pool(actor, pool, fork(actor, parent))
    return_to_pool(actor, pool, parent)


@scenario.role("wirer", count=2)
def wire_and_unwire(actor: Actor, pool: ProcessPool) -> None:
    """Wire a piece, work in it, perhaps have a child meanwhile, give it up."""
    person = pool.take(actor) or newborn(actor)
    start, end = piece_of(actor)
    if wire(actor, person, start, end):
        random_accesses(actor, person)
        if actor.rng.random() < 0.4 and person.generation < 6:
            child = fork(actor, person)
            random_accesses(actor, child)
            exit_with_probability(actor, pool, child, 0.6)
        unwire(actor, person, start, end)
    exit_with_probability(actor, pool, person, 0.1)


@scenario.role("keeper")
def wire_and_leave(actor: Actor, pool: ProcessPool) -> None:
    """Exit with memory still wired."""
    person = pool.take(actor) or newborn(actor)
    child = fork(actor, person)
    wire(actor, child, *piece_of(actor))
    random_accesses(actor, child)
    leave(actor, child)
    return_to_pool(actor, pool, person)


@scenario.role("protector")
def wire_what_is_read_only(actor: Actor, pool: ProcessPool) -> None:
    """A read-only piece is wired, becomes writable, and is written."""
    person = pool.take(actor) or newborn(actor)
    first = HEAP + actor.rng.randrange(HEAP_PAGES - 2) * PAGE
    end = first + 2 * PAGE
    protect(actor, person, first, end, READ)
    wired = wire(actor, person, first, end)
    read(actor, person, first)
    protect(actor, person, first, end, READ_WRITE)
    write_all(actor, person, first, 2)
    if wired:
        unwire(actor, person, first, end)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def newborn(actor: Actor) -> Process:
    """A heap, and memory that children will share."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    allocate(actor, person, pages_of(COMMON, COMMON_PAGES, shared=True))
    write_all(actor, person, HEAP, HEAP_PAGES)
    return person


def piece_of(actor: Actor) -> tuple[int, int]:
    """A piece of the heap, or the memory in common."""
    if actor.rng.random() < 0.3:
        return COMMON, COMMON + COMMON_PAGES * PAGE
    first = actor.rng.randrange(HEAP_PAGES - 3)
    return HEAP + first * PAGE, HEAP + (first + actor.rng.randrange(1, 4)) * PAGE
