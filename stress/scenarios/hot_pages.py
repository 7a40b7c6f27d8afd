"""A few pages that are used all the time, among many that are not, in much too little memory.

The window: the daemon judges a clean page, and its user stores to it in that very moment, through a
mapping that is still there.
"""

from stress.acts import PAGE, back_on_stage, everybody_reads_everything, pages_of
from stress.ops import Actor, Process, allocate, be_born, read, write
from stress.scenario import Scenario
from stress.stage import Stage

HOT, HOT_PAGES = 0x10000, 6
COLD, COLD_PAGES = 0x40000, 16
TOUCHES = 24  # of hot pages for each of a cold one
STORES = 0.2  # a page that is hardly ever stored to is clean most of the time

scenario = Scenario(
    "hot-pages",
    "pages that are used while the daemon judges them",
    pages=44,
    places=6,
    disk_ms=0.3,
)


@scenario.role("user", count=4)
def use_them(actor: Actor, stage: Stage) -> None:
    """Hot pages at random, and now and then a cold one."""
    person = stage.take(actor) or user(actor)
    rng = actor.rng
    for _ in range(3):
        for _ in range(TOUCHES):
            touch = write if rng.random() < STORES else read
            touch(actor, person, HOT + rng.randrange(HOT_PAGES) * PAGE)
        write(actor, person, COLD + rng.randrange(COLD_PAGES) * PAGE)
    back_on_stage(actor, stage, person)


scenario.check(everybody_reads_everything)


def user(actor: Actor) -> Process:
    """Both kinds of memory; nothing of it is there yet."""
    person = be_born(actor)
    allocate(actor, person, pages_of(HOT, HOT_PAGES))
    allocate(actor, person, pages_of(COLD, COLD_PAGES))
    return person
