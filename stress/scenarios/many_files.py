"""So many files, all in the object cache, that their pagers fill every bucket of the hash.

The window: a file's object is entered in the hash while anonymous memory, which has no name and is in no
bucket, comes to its end.
"""

from stress.acts import PAGE, READ, everybody_reads_everything, file_pages, pages_of, write_all
from stress.ops import Actor, allocate, be_born, leave, map_file, read, unmap, write
from stress.scenario import Scenario
from stress.stage import Stage

FILES = 190  # more than there are buckets
FILE, HEAP, APART = 0x10000, 0x40000, 0x2000

scenario = Scenario(
    "many-files",
    "files of one page, nearly all of them cached, beside memory that comes and goes",
    pages=320,
    files=(1,) * FILES,
    places=4,
    tables={"vnodes": FILES + 1, "cache_max": 150},
)


@scenario.setup
def every_file_is_cached(actor: Actor, stage: Stage) -> None:  # noqa: ARG001 - nobody stays
    """Each file was mapped once."""
    person = be_born(actor)
    for file in range(FILES):
        map_file(actor, person, file_pages(FILE + file * APART, 1, file, prot=READ))
    leave(actor, person)


@scenario.role("reader", count=2)
def look_a_file_up(actor: Actor, stage: Stage) -> None:  # noqa: ARG001 - nobody stays
    """Map a few files, read them, perhaps store to one, go."""
    person = be_born(actor)
    for place in range(4):
        shared = actor.rng.random() < 0.3
        start = FILE + place * APART
        map_file(actor, person, file_pages(start, 1, actor.rng.randrange(FILES), shared=shared))
        (write if shared else read)(actor, person, start)
    leave(actor, person)


@scenario.role("user", count=2)
def use_memory(actor: Actor, stage: Stage) -> None:  # noqa: ARG001 - nobody stays
    """Memory without a name, object by object."""
    person = be_born(actor)
    for _ in range(4):
        allocate(actor, person, pages_of(HEAP, 2))
        write_all(actor, person, HEAP, 1)
        unmap(actor, person, HEAP, HEAP + 2 * PAGE)
    leave(actor, person)


scenario.check(everybody_reads_everything)
