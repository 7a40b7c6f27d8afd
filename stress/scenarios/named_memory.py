"""Memory with a name is mapped by everybody who knows it, and copied for children who are not to see it.

The window: a copy is made of an object that others find through the hash while they store into it; it must
stay the one that they find, with the pager that it was made with.
"""

from stress.acts import PAGE, back_on_stage, everybody_reads_everything, leave_or_stay, pages_of, write_all
from stress.ops import Actor, Process, allocate, be_born, fork, leave, read, unmap, write
from stress.ops_named import inherit, map_named
from stress.scenario import Scenario
from stress.stage import Stage

NAMES, PAGES = (7, 8), 4
BOARD, APART = 0x10000, 0x10000  # where everybody has the names
END = BOARD + len(NAMES) * APART
HEAP, HEAP_PAGES = 0x60000, 8

scenario = Scenario(
    "named-memory",
    "named memory that everybody maps, and that some children get a copy of",
    pages=72,
    places=6,
    disk_ms=0.2,
)


@scenario.setup
def the_one_who_stays(actor: Actor, stage: Stage) -> None:
    """What has a name lasts as long as somebody maps it."""
    stage.put(actor, newborn(actor))


@scenario.role("parent", count=2)
def fork_with_a_copy(actor: Actor, stage: Stage) -> None:
    """A child whose copy of the names nobody looks at; the parent goes on storing to the shared one."""
    person = stage.take(actor) or newborn(actor)
    name = actor.rng.randrange(len(NAMES))
    start = BOARD + name * APART
    write(actor, person, start + actor.rng.randrange(PAGES) * PAGE)
    inherit(actor, person, start, start + PAGES * PAGE, False)
    child = fork(actor, person)
    inherit(actor, person, start, start + PAGES * PAGE, True)
    unmap(actor, child, start, start + PAGES * PAGE)
    touch(actor, person)
    touch(actor, child, other_than=name)
    leave(actor, child)
    back_on_stage(actor, stage, person)


@scenario.role("reader", count=2)
def look_at_the_board(actor: Actor, stage: Stage) -> None:
    """Somebody else who knows the names."""
    person = newborn(actor)
    touch(actor, person)
    write_all(actor, person, HEAP, HEAP_PAGES)
    touch(actor, person)
    leave_or_stay(actor, stage, person, 0.8)


scenario.check(everybody_reads_everything)


def newborn(actor: Actor) -> Process:
    """All names, and a heap."""
    person = be_born(actor)
    for place, name in enumerate(NAMES):
        map_named(actor, person, BOARD + place * APART, PAGES, name)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    return person


def touch(actor: Actor, person: Process, other_than: int = -1) -> None:
    """Loads and stores all over the board."""
    for _ in range(6):
        name = actor.rng.choice([place for place in range(len(NAMES)) if place != other_than])
        va = BOARD + name * APART + actor.rng.randrange(PAGES) * PAGE
        (write if actor.rng.random() < 0.4 else read)(actor, person, va)
