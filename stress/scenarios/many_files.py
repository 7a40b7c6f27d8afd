"""So many files in use that the next pagers fall into the first bucket of the hash, where "none" would be.

The window: a file's object is entered in the hash while anonymous memory, which has no name and is in no
bucket, comes to its end.
"""

from stress.ops.core import Actor, allocate, create_process, leave, map_file, read, unmap, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    READ,
    file_pages,
    pages_of,
    processes_read_everything,
    return_to_pool,
    write_all,
)
from vmcore.object.object_cache import VM_OBJECT_HASH_COUNT

# Records are reused last in, first out: the next few pagers are used again and again.
KEPT = VM_OBJECT_HASH_COUNT - 3
LOOSE = 12
FILE, HEAP, APART = 0x10000, 0x40000, 0x2000

scenario = Scenario(
    "many-files",
    "files of one page, most of them mapped for good, beside memory that comes and goes",
    pages=320,
    files=(1,) * (KEPT + LOOSE),
    places=4,
    tables={"vnodes": KEPT + LOOSE + 1, "cache_max": 1},
)


@scenario.setup
def most_files_are_in_use(actor: Actor, pool: ProcessPool) -> None:
    """One process keeps them mapped all the time."""
    person = create_process(actor)
    for file in range(KEPT):
        map_file(actor, person, file_pages(FILE + file * APART, 1, file, prot=READ))
    return_to_pool(actor, pool, person)


@scenario.role("reader", count=2)
def look_a_file_up(actor: Actor, pool: ProcessPool) -> None:
    """Map two others, read them, perhaps store to one, go."""
    person = create_process(actor)
    for place in range(2):
        shared = actor.rng.random() < 0.3
        start = FILE + place * APART
        map_file(actor, person, file_pages(start, 1, KEPT + actor.rng.randrange(LOOSE), shared=shared))
        (write if shared else read)(actor, person, start)
    leave(actor, person)


@scenario.role("user", count=2)
def use_memory(actor: Actor, pool: ProcessPool) -> None:
    """Memory without a name, object by object."""
    person = create_process(actor)
    for _ in range(4):
        allocate(actor, person, pages_of(HEAP, 2))
        write_all(actor, person, HEAP, 1)
        unmap(actor, person, HEAP, HEAP + 2 * PAGE)
    leave(actor, person)


scenario.check(processes_read_everything)
