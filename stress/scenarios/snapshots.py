"""Files are photographed by copy mappings while others write into them.

The window: the copy-object appears while writable mappings of the file exist in every process, its
pages are pushed by writers and read through it at the same time, and it dies in the middle of a push.
"""

from stress.ops.core import Actor, Process, create_process, fork, leave, map_file, read, unmap, write
from stress.ops.snapshots import first_read, publish, snapshot
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    file_pages,
    processes_read_everything,
    random_accesses,
    return_to_pool,
)

FILE_PAGES = 5
BOOK = 0x10000
ALBUM = 0x40000  # snapshots, side by side
ROOM = 0x10000  # from one snapshot to the next

scenario = Scenario(
    "snapshots",
    "copy mappings of files taken while every process writes into them",
    pages=72,
    files=(FILE_PAGES, FILE_PAGES),
    places=8,
    disk_ms=0.2,
)


@scenario.role("writer", count=2)
def write_the_book(actor: Actor, pool: ProcessPool) -> None:
    """Stores through shared mappings of both files."""
    person = pool.take(actor) or author(actor)
    random_accesses(actor, person, 8, 4)
    exit_with_probability(actor, pool, person, 0.1)


@scenario.role("snapshotter", count=2)
def photograph_the_book(actor: Actor, pool: ProcessPool) -> None:
    """Take snapshots, look at them page by page, write into some, pass some on to a child."""
    rng = actor.rng
    person = pool.take(actor) or author(actor)
    taken = [
        snapshot(actor, person, file_pages(ALBUM + place * ROOM, FILE_PAGES, rng.randrange(2)))
        for place in range(rng.randrange(1, 4))
    ]
    random_accesses(actor, person, 2, 2)
    looks = [(one, page) for one in taken for page in range(FILE_PAGES)]
    rng.shuffle(looks)
    for one, page in looks:
        first_read(actor, person, one, one.new.start + page * PAGE)
    for one in taken:
        publish(person, one)
        write(actor, person, one.new.start + rng.randrange(FILE_PAGES) * PAGE)
    child = fork(actor, person)
    for one, page in looks:
        read(actor, child, one.new.start + page * PAGE)
    leave(actor, child)
    for one in taken:
        unmap(actor, person, one.new.start, one.new.end)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def author(actor: Actor) -> Process:
    """Both files, shared."""
    person = create_process(actor)
    for file in range(2):
        map_file(actor, person, file_pages(BOOK + file * ROOM, FILE_PAGES, file, shared=True))
    return person
