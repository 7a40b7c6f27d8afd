"""One file mapped at fixed addresses and wherever the map likes, so that its pages have a history.

The window: the aligner is asked for an object that has no pages yet, or that is mapped at another
colour already, and the place that it prefers is taken when the search goes on.
"""

from stress.ops.core import Actor, Process, create_process, fork, map_file, unmap
from stress.ops.placement import allocate_anywhere, map_file_anywhere
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ_WRITE,
    exit_with_probability,
    file_pages,
    processes_read_everything,
    random_accesses,
)

FILE_PAGES = 6
FIXED = 0x400000
COLOURS = 16  # pages after which addresses are alike to the cache

scenario = Scenario(
    "placement",
    "one file mapped both at fixed addresses and wherever the map finds room",
    pages=96,
    files=(FILE_PAGES, FILE_PAGES),
    places=8,
)


@scenario.role("mapper", count=3)
def map_it_somewhere(actor: Actor, pool: ProcessPool) -> None:
    """A piece of a file and some memory, placed by the map."""
    rng = actor.rng
    person = pool.take(actor) or create_process(actor)
    first = rng.randrange(FILE_PAGES - 1)
    count = rng.randrange(1, FILE_PAGES - first + 1)
    like = file_pages(0, count, rng.randrange(2), shared=rng.random() < 0.6, first=first)
    map_file_anywhere(actor, person, like)
    allocate_anywhere(actor, person, rng.randrange(1, 4), READ_WRITE)
    random_accesses(actor, person)
    tidy(actor, person)
    exit_with_probability(actor, pool, person, 0.1)


@scenario.role("fixer")
def map_it_just_there(actor: Actor, pool: ProcessPool) -> None:
    """The same file at an address of the program's choice, whatever its colour."""
    rng = actor.rng
    person = pool.take(actor) or create_process(actor)
    start = FIXED + rng.randrange(COLOURS) * PAGE
    map_file(actor, person, file_pages(start, FILE_PAGES, rng.randrange(2), shared=rng.random() < 0.6))
    random_accesses(actor, person)
    if rng.random() < 0.3 and person.generation < 4:
        child = fork(actor, person)
        random_accesses(actor, child)
        exit_with_probability(actor, pool, child, 0.5)
    exit_with_probability(actor, pool, person, 0.1)


scenario.check(processes_read_everything)


def tidy(actor: Actor, person: Process) -> None:
    """Unmap something when there is much."""
    while len(person.picture) > 6:
        piece = actor.rng.choice(list(person.picture))
        unmap(actor, person, piece.start, piece.end)
