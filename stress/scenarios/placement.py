"""One file mapped at fixed addresses and wherever the map likes, so that its pages have a history.

The window: the aligner is asked for an object that has no pages yet, or that is mapped at another
colour already, and the place that it prefers is taken when the search goes on.
"""

from stress.ops.core import Actor, Process, be_born, fork, map_file, unmap
from stress.ops.placement import allocate_anywhere, map_file_anywhere
from stress.scenario.process_pool import Stage
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ_WRITE,
    everybody_reads_everything,
    file_pages,
    leave_or_stay,
    live_a_little,
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
def map_it_somewhere(actor: Actor, stage: Stage) -> None:
    """A piece of a file and some memory, placed by the map."""
    rng = actor.rng
    person = stage.take(actor) or be_born(actor)
    first = rng.randrange(FILE_PAGES - 1)
    count = rng.randrange(1, FILE_PAGES - first + 1)
    like = file_pages(0, count, rng.randrange(2), shared=rng.random() < 0.6, first=first)
    map_file_anywhere(actor, person, like)
    allocate_anywhere(actor, person, rng.randrange(1, 4), READ_WRITE)
    live_a_little(actor, person)
    tidy(actor, person)
    leave_or_stay(actor, stage, person, 0.1)


@scenario.role("fixer")
def map_it_just_there(actor: Actor, stage: Stage) -> None:
    """The same file at an address of the program's choice, whatever its colour."""
    rng = actor.rng
    person = stage.take(actor) or be_born(actor)
    start = FIXED + rng.randrange(COLOURS) * PAGE
    map_file(actor, person, file_pages(start, FILE_PAGES, rng.randrange(2), shared=rng.random() < 0.6))
    live_a_little(actor, person)
    if rng.random() < 0.3 and person.generation < 4:
        child = fork(actor, person)
        live_a_little(actor, child)
        leave_or_stay(actor, stage, child, 0.5)
    leave_or_stay(actor, stage, person, 0.1)


scenario.check(everybody_reads_everything)


def tidy(actor: Actor, person: Process) -> None:
    """Unmap something when there is much."""
    while len(person.picture) > 6:
        piece = actor.rng.choice(list(person.picture))
        unmap(actor, person, piece.start, piece.end)
