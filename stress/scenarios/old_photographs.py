"""Snapshots of a file that everybody writes into; nobody looks at them, and they go while they are paged out.

The window: a copy-object loses its last user while the daemon writes one of its pages, and at that moment
somebody stores to the file and would push a page into it.
"""

from stress.ops.core import Actor, Process, allocate, be_born, clean, map_file, unmap
from stress.ops.snapshots import snapshot
from stress.scenario.process_pool import Stage
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    back_on_stage,
    everybody_reads_everything,
    file_pages,
    live_a_little,
    pages_of,
    write_all,
)

FILE_PAGES = 16
BOOK, ALBUM, HEAP = 0x10000, 0x40000, 0x80000
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
def write_the_book(actor: Actor, stage: Stage) -> None:
    """Stores through a shared mapping."""
    person = stage.take(actor) or author(actor)
    live_a_little(actor, person, 12, 2)
    back_on_stage(actor, stage, person)


@scenario.role("photographer", count=2)
def photograph_and_forget(actor: Actor, stage: Stage) -> None:
    """A snapshot, which the writers fill; it goes to the disk, asked or for want of memory; no snapshot."""
    person = stage.take(actor) or author(actor)
    taken = snapshot(actor, person, file_pages(ALBUM, FILE_PAGES, 0))
    live_a_little(actor, person, 3, 2)
    short = actor.rng.random() < 0.2
    if short:
        allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
        write_all(actor, person, HEAP, HEAP_PAGES)
    else:
        clean(actor, person, taken.new.start, taken.new.end, sync=False)
    unmap(actor, person, taken.new.start, taken.new.end)
    if short:
        unmap(actor, person, HEAP, HEAP + HEAP_PAGES * PAGE)
    back_on_stage(actor, stage, person)


scenario.check(everybody_reads_everything)


def author(actor: Actor) -> Process:
    """A shared mapping of the file."""
    person = be_born(actor)
    map_file(actor, person, file_pages(BOOK, FILE_PAGES, 0, shared=True))
    return person
