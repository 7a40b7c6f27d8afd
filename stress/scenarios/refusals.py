"""Programs that ask for what cannot be had: rights beyond the maximum, holes, what lies behind a file.

The window: an error is found half-way, with maps locked, entries counted and pages wired, and all of it
must be taken back before the answer.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, map_file, read, unmap, write
from stress.ops.refused import (
    limit_rights,
    protect_beyond_maximum,
    protect_nothing,
    sync_a_hole,
    sync_nothing,
    wire_a_hole,
    wire_what_is_not_there,
)
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ,
    READ_WRITE,
    exit_with_probability,
    file_pages,
    pages_of,
    processes_read_everything,
)

FILE_PAGES, MAPPED = 3, 6  # a mapping may be longer than its file
HEAP, HEAP_PAGES = 0x10000, 6
FILE = 0x20000
NOTHING = 0x40000  # never mapped
FRESH = 0x50000  # mapped, not touched
LIMITED = 0x60000

scenario = Scenario(
    "refusals",
    "programs that ask for what cannot be had, between others that behave",
    pages=80,
    files=(FILE_PAGES,),
    places=8,
    disk_ms=0.2,
)


@scenario.role("blunderer", count=3)
def ask_for_too_much(actor: Actor, pool: ProcessPool) -> None:
    """One mistake, and then life goes on in the same map."""
    person = pool.take(actor) or newborn(actor)
    actor.rng.choice(MISTAKES)(actor, person)
    va = HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE
    (write if actor.rng.random() < 0.5 else read)(actor, person, va)
    if actor.rng.random() < 0.2 and person.generation < 4:
        exit_with_probability(actor, pool, fork(actor, person), 0.5)
    exit_with_probability(actor, pool, person, 0.1)


@scenario.role("editor")
def use_the_file(actor: Actor, pool: ProcessPool) -> None:
    """A process that stays within the file."""
    person = pool.take(actor) or newborn(actor)
    for _ in range(4):
        va = FILE + actor.rng.randrange(FILE_PAGES) * PAGE
        (write if actor.rng.random() < 0.5 else read)(actor, person, va)
    exit_with_probability(actor, pool, person, 0.2)


scenario.check(processes_read_everything)


def newborn(actor: Actor) -> Process:
    """A heap, and a mapping that is longer than its file; what lies behind the file is not touched."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    map_file(actor, person, file_pages(FILE, MAPPED, 0, shared=True), draw=False)
    person.picture.map(file_pages(FILE, FILE_PAGES, 0, shared=True))
    return person


def wrong_rights(actor: Actor, person: Process) -> None:
    """Rights on nothing at all, and more rights than may be."""
    protect_nothing(actor, person, NOTHING, NOTHING + 2 * PAGE)
    allocate(actor, person, pages_of(LIMITED, 2))
    limit_rights(actor, person, LIMITED, LIMITED + 2 * PAGE, READ)
    protect_beyond_maximum(actor, person, LIMITED, LIMITED + 2 * PAGE, READ_WRITE)
    read(actor, person, LIMITED)
    unmap(actor, person, LIMITED, LIMITED + 2 * PAGE)


def wrong_wiring(actor: Actor, person: Process) -> None:
    """Pages that the file does not have, and addresses that are not mapped."""
    wire_what_is_not_there(actor, person, FILE, FILE + MAPPED * PAGE)
    wire_a_hole(actor, person, HEAP, HEAP + (HEAP_PAGES + 1) * PAGE)


def wrong_sync(actor: Actor, person: Process) -> None:
    """A range with a hole, and one that no process has touched (which is not wrong)."""
    sync_a_hole(actor, person, HEAP, HEAP + (HEAP_PAGES + 1) * PAGE)
    allocate(actor, person, pages_of(FRESH, 2))
    sync_nothing(actor, person, FRESH, FRESH + 2 * PAGE)
    unmap(actor, person, FRESH, FRESH + 2 * PAGE)


MISTAKES = (wrong_rights, wrong_wiring, wrong_sync)
