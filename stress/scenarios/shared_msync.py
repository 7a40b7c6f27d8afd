"""Files mapped shared by every process, written through the maps, and synced in every way at once.

The window: msync waits for paging on an object that others fault on all the time, writes pages that
are being dirtied again, and an asynchronous write finishes when its page is in use again.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, map_file, write
from stress.ops.files import sync
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    file_pages,
    pages_of,
    processes_read_everything,
    random_accesses,
    return_to_pool,
    write_all,
)

FILES, FILE_PAGES = 2, 5
BOOK, NOTES, HEAP = 0x10000, 0x20000, 0x30000
HEAP_PAGES = 6

scenario = Scenario(
    "shared-msync",
    "shared file mappings written, synced and invalidated by every process at the same time",
    pages=72,
    files=(FILE_PAGES,) * FILES,
    places=10,
    disk_ms=0.4,
)


@scenario.setup
def two_readers(actor: Actor, pool: ProcessPool) -> None:
    """Two processes with both files."""
    for _ in range(2):
        return_to_pool(actor, pool, reader(actor))


@scenario.role("writer", count=2)
def write_into_the_files(actor: Actor, pool: ProcessPool) -> None:
    """Stores and loads through shared mappings; children share them."""
    person = pool.take(actor) or reader(actor)
    random_accesses(actor, person, 6, 8)
    if actor.rng.random() < 0.3 and person.generation < 5:
        child = fork(actor, person)
        write(actor, child, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
        return_to_pool(actor, pool, child)
    exit_with_probability(actor, pool, person, 0.25)


@scenario.role("syncer", count=2)
def sync_a_file(actor: Actor, pool: ProcessPool) -> None:
    """Sync a part or all, with and without waiting, sometimes throwing the pages away."""
    rng = actor.rng
    person = pool.take(actor) or reader(actor)
    base = rng.choice((BOOK, NOTES, HEAP))
    pages = HEAP_PAGES if base == HEAP else FILE_PAGES
    first = rng.randrange(pages)
    last = rng.randrange(first, pages) + 1
    waits = rng.random() < 0.6
    sync(actor, person, base + first * PAGE, base + last * PAGE, waits, waits and rng.random() < 0.3)
    random_accesses(actor, person)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def reader(actor: Actor) -> Process:
    """Both files shared, and a heap of its own, which msync may clean too."""
    person = create_process(actor)
    map_file(actor, person, file_pages(BOOK, FILE_PAGES, 0, shared=True))
    map_file(actor, person, file_pages(NOTES, FILE_PAGES, 1, shared=True))
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, HEAP, HEAP_PAGES)
    return person
