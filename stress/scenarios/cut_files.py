"""Files are cut and extended while they are mapped, written, synced and left by their last user.

The window: a page of the cut part is on its way in, or being written, when its frame is wanted back;
the cut waits for it, and may not hold the vnode's lock meanwhile.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, map_file
from stress.ops.files import lay_down_cuts, read, sync, truncate, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, exit_with_probability, file_pages, pages_of, write_all

FILES, FILE_PAGES = 2, 6
SHARED, PRIVATE, HEAP = 0x10000, 0x40000, 0x80000
APART = 0x10000

scenario = Scenario(
    "cut-files",
    "files cut and extended while they are mapped, written, synced and paged out",
    pages=72,
    files=(FILE_PAGES,) * FILES,
    places=8,
    disk_ms=0.3,
    tables={"cache_max": 1},
)


@scenario.setup
def count_the_cuts(actor: Actor, pool: ProcessPool) -> None:
    """Make the tables that count the cuts of each page."""
    lay_down_cuts(actor.vm.arena, (FILE_PAGES,) * FILES)


@scenario.role("user", count=2)
def use_the_files(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores through shared and private mappings; some of it is refused."""
    person = pool.take(actor) or user(actor)
    for _ in range(8):
        va = somewhere_in_a_file(actor)
        (write if actor.rng.random() < 0.5 else read)(actor, person, va)
    if actor.rng.random() < 0.2 and person.generation < 4:
        child = fork(actor, person)
        read(actor, child, somewhere_in_a_file(actor))
        exit_with_probability(actor, pool, child, 0.7)
    exit_with_probability(actor, pool, person, 0.3)


@scenario.role("cutter")
def cut_a_file(actor: Actor, pool: ProcessPool) -> None:
    """A process that opens with O_TRUNC, so to speak."""
    truncate(actor, actor.rng.randrange(FILES), actor.rng.randrange(FILE_PAGES))


@scenario.role("syncer")
def sync_a_file(actor: Actor, pool: ProcessPool) -> None:
    """Write a file's pages back while they may be cut."""
    person = pool.take(actor) or user(actor)
    start = SHARED + actor.rng.randrange(FILES) * APART
    waits = actor.rng.random() < 0.7
    sync(actor, person, start, start + FILE_PAGES * PAGE, waits, waits and actor.rng.random() < 0.2)
    exit_with_probability(actor, pool, person, 0.2)


@scenario.check
def what_is_left_can_be_read(actor: Actor, pool: ProcessPool) -> None:
    """No process cuts now: every access is granted, and every page right."""
    people = []
    while (person := pool.take(actor)) is not None:
        people.append(person)
        for piece in person.picture.touchable(False):
            for va in range(piece.start, piece.end, PAGE):
                read(actor, person, va)
    for person in people:
        exit_with_probability(actor, pool, person, 0.0)


def user(actor: Actor) -> Process:
    """Both files, each shared and privately, and a heap so that memory is short."""
    person = create_process(actor)
    for file in range(FILES):
        map_file(actor, person, file_pages(SHARED + file * APART, FILE_PAGES, file, shared=True))
        map_file(actor, person, file_pages(PRIVATE + file * APART, FILE_PAGES, file))
    allocate(actor, person, pages_of(HEAP, 6))
    write_all(actor, person, HEAP, 6)
    return person


def somewhere_in_a_file(actor: Actor) -> int:
    """A page of either file, through either mapping."""
    base = actor.rng.choice((SHARED, PRIVATE)) + actor.rng.randrange(FILES) * APART
    return base + actor.rng.randrange(FILE_PAGES) * PAGE
