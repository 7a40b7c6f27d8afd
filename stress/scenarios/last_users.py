"""Few files that no process keeps: each is mapped, written and left again by processes that come and go.

The window: the last user's pages are still being written when another process maps the same file, whose
vnode names a pager without an object; and two map it for the first time at the same moment.
"""

from stress.ops.core import Actor, Process, allocate, create_process, leave, map_file, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, READ, file_pages, pages_of

FILES, FILE_PAGES = 3, 3
BOOK, TEXT, HEAP = 0x10000, 0x40000, 0x80000
APART = 0x10000

scenario = Scenario(
    "last-users",
    "a few files that are mapped, written and left, with an object cache of one",
    pages=72,
    files=(FILE_PAGES,) * FILES,
    places=4,
    disk_ms=0.4,
    tables={"cache_max": 1},
)


@scenario.role("editor", count=2)
def write_and_leave(actor: Actor, pool: ProcessPool) -> None:
    """Store to one or two files and go: the last to go writes the pages back."""
    person = create_process(actor)
    for place, file in enumerate(some_files(actor)):
        start = BOOK + place * APART
        map_file(actor, person, file_pages(start, FILE_PAGES, file, shared=True))
        write(actor, person, start + actor.rng.randrange(FILE_PAGES) * PAGE)
        read(actor, person, start + actor.rng.randrange(FILE_PAGES) * PAGE)
    leave(actor, person)


@scenario.role("runner", count=2)
def run_it(actor: Actor, pool: ProcessPool) -> None:
    """Read a file as a program's text, with some memory beside it."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, 2))
    for place, file in enumerate(some_files(actor)):
        start = TEXT + place * APART
        map_file(actor, person, file_pages(start, FILE_PAGES, file, prot=READ))
        read_text(actor, person, start)
    write(actor, person, HEAP)
    leave(actor, person)


@scenario.check
def every_file_is_as_it_was_left(actor: Actor, pool: ProcessPool) -> None:
    """No process has anything mapped: what is read comes from the cache or the disk."""
    person = create_process(actor)
    for file in range(FILES):
        map_file(actor, person, file_pages(TEXT + file * APART, FILE_PAGES, file, prot=READ))
        read_text(actor, person, TEXT + file * APART)
    leave(actor, person)


def some_files(actor: Actor) -> list[int]:
    """One file or two."""
    return actor.rng.sample(range(FILES), actor.rng.randrange(1, 3))


def read_text(actor: Actor, person: Process, start: int) -> None:
    """Load every page of a file."""
    for page in range(FILE_PAGES):
        read(actor, person, start + page * PAGE)
