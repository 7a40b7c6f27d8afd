"""Private mappings of a file are written and inherited, while others photograph the very file.

The window: a chain above the file's object is collapsed, with a page-in in the middle, and at that moment
the file gets a copy-object.
"""

from stress.ops.core import (
    Actor,
    Process,
    allocate,
    create_process,
    fork,
    leave,
    map_file,
    read,
    unmap,
    write,
)
from stress.ops.snapshots import snapshot
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    file_pages,
    pages_of,
    processes_read_everything,
    read_all,
    return_to_pool,
    write_all,
)

FILE_PAGES = 8
TEXT, ALBUM, HEAP = 0x10000, 0x40000, 0x80000
HEAP_PAGES = 8
GENERATIONS = 4

scenario = Scenario(
    "private-readers",
    "private mappings of a file that are inherited and collapsed while the file is photographed",
    pages=48,
    files=(FILE_PAGES,),
    places=6,
    disk_ms=1.0,
)


@scenario.role("heir", count=2)
def inherit_and_write(actor: Actor, pool: ProcessPool) -> None:
    """A child writes what it has inherited, the parent leaves, the child is alone above its pages."""
    parent = pool.take(actor) or reader(actor)
    child = fork(actor, parent)
    for page in actor.rng.sample(range(FILE_PAGES), 3):
        write(actor, child, TEXT + page * PAGE)
    write_all(actor, child, HEAP, HEAP_PAGES)
    leave(actor, parent)
    for page in range(FILE_PAGES):
        read(actor, child, TEXT + page * PAGE)
    if child.generation < GENERATIONS:
        return_to_pool(actor, pool, child)
    else:
        leave(actor, child)


@scenario.role("snapshotter", count=2)
def photograph_the_file(actor: Actor, pool: ProcessPool) -> None:
    """A process that maps the file by copy, again and again."""
    person = create_process(actor)
    for _ in range(8):
        taken = snapshot(actor, person, file_pages(ALBUM, FILE_PAGES, 0))
        unmap(actor, person, taken.new.start, taken.new.end)
    allocate(actor, person, pages_of(HEAP, 2 * HEAP_PAGES))
    write_all(actor, person, HEAP, 2 * HEAP_PAGES)
    read_all(actor, person)
    leave(actor, person)


scenario.check(processes_read_everything)


def reader(actor: Actor) -> Process:
    """A private mapping of the file, all of it written, and a heap."""
    person = create_process(actor)
    map_file(actor, person, file_pages(TEXT, FILE_PAGES, 0))
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, TEXT, FILE_PAGES)
    return person
