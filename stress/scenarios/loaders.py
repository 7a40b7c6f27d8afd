"""Threads of one program map a file, look at it at once from everywhere, and unmap it again.

The window: the mapping can be seen, and faulted on by another thread, before the thread that makes it has
finished; and everything about the file's object is new each time.
"""

from stress.ops.core import Actor, allocate, create_process, leave, map_file, share, unmap, write
from stress.ops.racing_unmap import read_racing_unmap
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, file_pages, pages_of, return_to_pool

FILE_PAGES = 3
PLACES = 2  # each file has its place
LIBRARY, APART = 0x40000, 0x10000
OWN = 0x10000

scenario = Scenario(
    "loaders",
    "threads that use a file while one of them is just mapping it",
    pages=72,
    files=(FILE_PAGES,) * PLACES,
    places=8,
    disk_ms=0.2,
    tables={"cache_max": 0},
)


@scenario.setup
def two_programs(actor: Actor, pool: ProcessPool) -> None:
    """Each with three threads, which never end while the run goes on."""
    for _ in range(2):
        first = create_process(actor)
        first.journal.crowd()
        for _ in range(2):
            pool.put(actor, share(actor, first))
        pool.put(actor, first)


@scenario.role("loader", count=2)
def load_and_unload(actor: Actor, pool: ProcessPool) -> None:
    """Map a file at its place, look, unmap it."""
    thread = pool.take(actor)
    if thread is None:
        return
    place = actor.rng.randrange(PLACES)
    start = LIBRARY + place * APART
    map_file(actor, thread, file_pages(start, FILE_PAGES, place, shared=True), draw=False)
    read_racing_unmap(actor, thread, start, place, 0)
    unmap(actor, thread, start, start + FILE_PAGES * PAGE, draw=False)
    return_to_pool(actor, pool, thread)


@scenario.role("reader")
def look_at_the_files(actor: Actor, pool: ProcessPool) -> None:
    """Loads wherever a file may be."""
    thread = pool.take(actor)
    if thread is None:
        return
    for _ in range(20):
        place, page = actor.rng.randrange(PLACES), actor.rng.randrange(FILE_PAGES)
        read_racing_unmap(actor, thread, LIBRARY + place * APART + page * PAGE, place, page)
    return_to_pool(actor, pool, thread)


@scenario.role("author")
def change_a_file(actor: Actor, pool: ProcessPool) -> None:
    """A process of its own that stores to a file now and then."""
    person = create_process(actor)
    allocate(actor, person, pages_of(OWN, 2))
    write(actor, person, OWN)
    map_file(actor, person, file_pages(LIBRARY, FILE_PAGES, actor.rng.randrange(PLACES), shared=True))
    write(actor, person, LIBRARY + actor.rng.randrange(FILE_PAGES) * PAGE)
    leave(actor, person)
