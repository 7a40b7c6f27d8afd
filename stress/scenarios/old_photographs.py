"""Snapshots of a file that every process writes into; no process looks at them, and they go while they are
paged out.

The window: a copy-object loses its last user while the daemon writes one of its pages, and at that moment
another process stores to the file and would push a page into it.
"""

from stress.ops.core import Actor, Process, allocate, clean, create_process, map_file, unmap
from stress.ops.snapshots import snapshot
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    file_pages,
    pages_of,
    processes_read_everything,
    random_accesses,
    return_to_pool,
    write_all,
)

FILE_PAGES = 16
FILE, COPY, HEAP = 0x10000, 0x40000, 0x80000
HEAP_PAGES = 16

scenario = Scenario(
    "old-photographs",
    "copy mappings of a file that are given up while their pages are on the way to the disk",
    pages=56,
    files=(FILE_PAGES,),
    places=6,
    disk_ms=2.0,
)


@scenario.role("writer", count=2)
def write_the_book(actor: Actor, pool: ProcessPool) -> None:
    """Stores through a shared mapping."""
    person = pool.take(actor) or author(actor)
    random_accesses(actor, person, 12, 2)
    return_to_pool(actor, pool, person)


@scenario.role("snapshotter", count=2)
def photograph_and_forget(actor: Actor, pool: ProcessPool) -> None:
    """Take a snapshot, which the writers fill; have it written, by a sync or for want of memory; unmap it."""
    person = pool.take(actor) or author(actor)
    taken = snapshot(actor, person, file_pages(COPY, FILE_PAGES, 0))
    random_accesses(actor, person, 3, 2)
    short = actor.rng.random() < 0.2
    if short:
        allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
        write_all(actor, person, HEAP, HEAP_PAGES)
    else:
        clean(actor, person, taken.new.start, taken.new.end, sync=False)
    unmap(actor, person, taken.new.start, taken.new.end)
    if short:
        unmap(actor, person, HEAP, HEAP + HEAP_PAGES * PAGE)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def author(actor: Actor) -> Process:
    """A shared mapping of the file."""
    person = create_process(actor)
    map_file(actor, person, file_pages(FILE, FILE_PAGES, 0, shared=True))
    return person
