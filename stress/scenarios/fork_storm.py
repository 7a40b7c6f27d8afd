"""Families fork, write and die in any order while memory is short and files are synced.

The window: an exit leaves an object with one shadower, and the collapse that follows meets the
faults of relatives on the same chain, pages on their way to swap, and a process that cleans the very
object.  Chains are three and more deep because grandchildren outlive their parents; some regions
are clipped, so shadow offsets are not zero.
"""

from stress.ops.core import (
    Actor,
    Process,
    allocate,
    clean,
    create_process,
    fork,
    leave,
    map_file,
    unmap,
    write,
)
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
    write_somewhere,
)

HEAP = 0x10000
HEAP_PAGES = 12
TEXT = 0x100000  # a file, private
LOG = 0x200000  # a file, shared by every process: what msync is for
FILE_PAGES = 4
OLDEST = 6  # generations in one line

scenario = Scenario(
    "fork-storm",
    "fork, write and exit storms on shared shadow chains, with page-out and msync",
    pages=112,
    files=(FILE_PAGES, FILE_PAGES),
    places=20,
    disk_ms=0.4,
)


@scenario.setup
def two_families(actor: Actor, pool: ProcessPool) -> None:
    """The ancestors."""
    for _ in range(2):
        return_to_pool(actor, pool, new_family(actor))


@scenario.role("family", count=3)
def live_and_die(actor: Actor, pool: ProcessPool) -> None:
    """Touch some memory, perhaps have a child, perhaps die."""
    rng = actor.rng
    person = pool.take(actor) or new_family(actor)
    random_accesses(actor, person)
    if person.generation < OLDEST and rng.random() < 0.6:
        child = fork(actor, person)
        write_somewhere(actor, person)
        write_somewhere(actor, child)
        return_to_pool(actor, pool, child)
    if rng.random() < 0.12:
        clip(actor, person)
    if rng.random() < 0.2:
        sync_the_log(actor, person)
    if rng.random() < 0.5:
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)


@scenario.role("syncer")
def clean_another(actor: Actor, pool: ProcessPool) -> None:
    """Write dirty pages back: of the shared file, of a heap, or of what lies below a heap."""
    rng = actor.rng
    person = pool.take(actor)
    if person is None:
        live_and_die(actor, pool)
        return
    if rng.random() < 0.6:
        sync_the_log(actor, person)
    else:
        below = rng.random() < 0.7
        clean(actor, person, HEAP, HEAP + HEAP_PAGES * PAGE, rng.random() < 0.5, below)
    random_accesses(actor, person)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def new_family(actor: Actor) -> Process:
    """An ancestor with a heap, a program file and the shared log."""
    person = create_process(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    map_file(actor, person, file_pages(TEXT, FILE_PAGES, 0))
    map_file(actor, person, file_pages(LOG, FILE_PAGES, 1, shared=True))
    write_all(actor, person, HEAP, HEAP_PAGES)
    return person


def clip(actor: Actor, person: Process) -> None:
    """Unmap a piece of the heap, from its start or its middle."""
    first = actor.rng.randrange(HEAP_PAGES)
    length = actor.rng.randrange(1, 3)
    unmap(actor, person, HEAP + first * PAGE, HEAP + min(first + length, HEAP_PAGES) * PAGE)


def sync_the_log(actor: Actor, person: Process) -> None:
    """Write the shared file back; sometimes asynchronously."""
    write(actor, person, LOG + actor.rng.randrange(FILE_PAGES) * PAGE)
    clean(actor, person, LOG, LOG + FILE_PAGES * PAGE, actor.rng.random() < 0.8)
