"""A small file is stored to and synced by some, and cut to nothing by others, with a slow disk.

The window: a page of the file is about to be written when the file is cut; writing it now would make the file
longer again, with what was cut off.
"""

from stress.ops.core import Actor, create_process, leave, map_file
from stress.ops.files import lay_down_cuts, read, sync, truncate, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, file_pages

FILES, FILE_PAGES = 2, 3
LOG = 0x10000

scenario = Scenario(
    "cut-logs",
    "small files that are stored to and synced by some, and cut to nothing by others",
    pages=64,
    files=(FILE_PAGES,) * FILES,
    disk_ms=0.5,
    tables={"cache_max": 1},
)


@scenario.setup
def count_the_cuts(actor: Actor, pool: ProcessPool) -> None:
    """Make the tables that count the cuts of each page."""
    lay_down_cuts(actor.vm.arena, (FILE_PAGES,) * FILES)


@scenario.role("writer", count=2)
def store_and_sync(actor: Actor, pool: ProcessPool) -> None:
    """Store to all pages and write them back, twice; then drop what is clean, and look at all of it."""
    person = create_process(actor)
    end = LOG + FILE_PAGES * PAGE
    map_file(actor, person, file_pages(LOG, FILE_PAGES, actor.rng.randrange(FILES), shared=True))
    for invalidate in (False, True):
        for va in range(LOG, end, PAGE):
            write(actor, person, va)
        sync(actor, person, LOG, end, True, invalidate)
    for va in range(LOG, end, PAGE):
        read(actor, person, va)
    leave(actor, person)


@scenario.role("cutter")
def cut_a_log(actor: Actor, pool: ProcessPool) -> None:
    """Begin a new one."""
    truncate(actor, actor.rng.randrange(FILES), actor.rng.randrange(FILE_PAGES))


@scenario.check
def what_is_left_can_be_read(actor: Actor, pool: ProcessPool) -> None:
    """No process cuts now: every page is right."""
    for file in range(FILES):
        person = create_process(actor)
        map_file(actor, person, file_pages(LOG, FILE_PAGES, file, shared=True))
        for page in range(FILE_PAGES):
            read(actor, person, LOG + page * PAGE)
        leave(actor, person)
