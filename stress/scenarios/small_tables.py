"""Every table is so small that it is full again and again: mappings, entries, objects, spaces, swap.

The window: a mapping is taken from another space while that space uses, wires or ends it; a refusal comes
half-way through a fork, a clip or a first store, and everything that was done for it is taken back while
others wait for exactly these records.
"""

from functools import partial

from stress.ops.core import Actor, Process, allocate, fork, leave, map_file, read, unmap, write
from stress.ops.placement import be_born_if_there_is_room, if_there_is_room, protect_if_there_is_room
from stress.ops.wiring import unwire, wire
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ,
    READ_WRITE,
    file_pages,
    pages_of,
    processes_read_what_they_can,
    return_to_pool,
)

HEAP, HEAP_PAGES = 0x10000, 8
FILE, FILE_PAGES = 0x40000, 3
WIRED = 2  # pages of one process at a time; of all together fewer than there are mappings

scenario = Scenario(
    "small-tables",
    "more is asked for than the tables hold: mappings are stolen, forks and clips refused half-way",
    pages=56,
    files=(FILE_PAGES,),
    places=5,
    disk_ms=0.2,
    tables={
        "mappings": 12, "entries": 26, "objects": 22, "maps": 7, "sharing_maps": 2, "pmaps": 7, "vmspaces": 8,
        "pagers": 12, "swap_blocks": 10, "swap_pages": 96, "pending": 3,
    },
)  # fmt: skip


@scenario.role("user", count=2)
def use_more_than_there_is(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores all over the space: each may need a mapping, an object, a frame."""
    person = pool.take(actor) or newborn(actor)
    if person is None:
        return
    touch(actor, person, HEAP_PAGES)
    stay_or_leave(actor, pool, person, 0.15)


@scenario.role("cutter")
def cut_and_mend(actor: Actor, pool: ProcessPool) -> None:
    """Holes and pieces of other rights need entries; new memory fills the holes again."""
    rng = actor.rng
    person = pool.take(actor) or newborn(actor)
    if person is None:
        return
    start = HEAP + rng.randrange(HEAP_PAGES) * PAGE
    if person.picture.runs(start, start + PAGE):
        if rng.random() < 0.5:
            if_there_is_room(actor, partial(unmap, actor, person, start, start + PAGE))
        elif protect_if_there_is_room(actor, person, start, start + PAGE, READ):
            if_there_is_room(actor, partial(read, actor, person, start))
            protect_if_there_is_room(actor, person, start, start + PAGE, READ_WRITE)
    else:
        if_there_is_room(actor, partial(allocate, actor, person, pages_of(start, 1)))
    wire_a_little(actor, person)
    touch(actor, person, 3)
    stay_or_leave(actor, pool, person, 0.2)


@scenario.role("parent")
def have_children(actor: Actor, pool: ProcessPool) -> None:
    """A fork takes a space, a map, a pmap and an entry of each kind; children store at once."""
    person = pool.take(actor) or newborn(actor)
    if person is None:
        return
    children: list[Process] = []
    for _ in range(2):
        if_there_is_room(actor, lambda: children.append(fork(actor, person)))
    touch(actor, person, 3)
    for child in children:
        touch(actor, child, 4)
        stay_or_leave(actor, pool, child, 0.7)
    stay_or_leave(actor, pool, person, 0.6)


scenario.check(processes_read_what_they_can)


def newborn(actor: Actor) -> Process | None:
    """A heap and a file, as far as there is room; None without a space."""
    person = be_born_if_there_is_room(actor)
    if person is None:
        return None
    if_there_is_room(actor, partial(allocate, actor, person, pages_of(HEAP, HEAP_PAGES)))
    shared = actor.rng.random() < 0.5
    if_there_is_room(actor, partial(map_file, actor, person, file_pages(FILE, FILE_PAGES, 0, shared)))
    return person


def touch(actor: Actor, person: Process, times: int) -> None:
    """So many loads and stores of what is mapped."""
    for _ in range(times):
        pages = [at for piece in person.picture.touchable(True) for at in range(piece.start, piece.end, PAGE)]
        if not pages:
            return
        step = write if actor.rng.random() < 0.5 else read
        if_there_is_room(actor, partial(step, actor, person, actor.rng.choice(pages)))


def wire_a_little(actor: Actor, person: Process) -> None:
    """Pages whose mappings may not be stolen, for a moment."""
    start = HEAP + actor.rng.randrange(HEAP_PAGES - WIRED + 1) * PAGE
    end = start + WIRED * PAGE
    if person.picture.runs(start, end) == [(start, end)] and wire(actor, person, start, end):
        touch(actor, person, 3)
        unwire(actor, person, start, end)


def stay_or_leave(actor: Actor, pool: ProcessPool, person: Process, dies: float) -> None:
    """Die with this probability, or when there is nothing left to touch."""
    if actor.rng.random() < dies or not person.picture.touchable(True):
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)
