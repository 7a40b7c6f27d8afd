"""Families fork, write and die in any order while memory is short and files are synced.

The window: an exit leaves an object with one shadower, and the collapse that follows meets the
faults of relatives on the same chain, pages on their way to swap, and somebody who cleans the very
object.  Chains are three and more deep because grandchildren outlive their parents; some regions
are clipped, so shadow offsets are not zero.
"""

from stress.ops import Actor, Process, allocate, be_born, clean, fork, leave, map_file, read, unmap, write
from stress.scenario import Scenario
from stress.stage import Stage
from stress.trace.picture import Range

PAGE = 4096
HEAP = 0x10000
HEAP_PAGES = 12
TEXT = 0x100000  # a file, private
LOG = 0x200000  # a file, shared by everybody: what msync is for
FILE_PAGES = 4
READ_WRITE = 3
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
def two_families(actor: Actor, stage: Stage) -> None:
    """The ancestors."""
    for _ in range(2):
        back_on_stage(actor, stage, new_family(actor))


@scenario.role("family", count=3)
def live_and_die(actor: Actor, stage: Stage) -> None:
    """Touch some memory, perhaps have a child, perhaps die."""
    rng = actor.rng
    person = stage.take(actor) or new_family(actor)
    live_a_little(actor, person)
    if person.generation < OLDEST and rng.random() < 0.6:
        child = fork(actor, person)
        write_somewhere(actor, person)
        write_somewhere(actor, child)
        back_on_stage(actor, stage, child)
    if rng.random() < 0.12:
        clip(actor, person)
    if rng.random() < 0.2:
        sync_the_log(actor, person)
    if rng.random() < 0.5:
        leave(actor, person)
    else:
        back_on_stage(actor, stage, person)


@scenario.role("syncer")
def clean_somebody(actor: Actor, stage: Stage) -> None:
    """Write dirty pages back: of the shared file, of a heap, or of what lies below a heap."""
    rng = actor.rng
    person = stage.take(actor)
    if person is None:
        live_and_die(actor, stage)
        return
    if rng.random() < 0.6:
        sync_the_log(actor, person)
    else:
        below = rng.random() < 0.7
        clean(actor, person, HEAP, HEAP + HEAP_PAGES * PAGE, rng.random() < 0.5, below)
    live_a_little(actor, person)
    back_on_stage(actor, stage, person)


@scenario.check
def everybody_can_read_everything(actor: Actor, stage: Stage) -> None:
    """Q11: every mapped page of every space."""
    people = []
    while (person := stage.take(actor)) is not None:
        people.append(person)
        for piece in person.picture.touchable(False):
            for va in range(piece.start, piece.end, PAGE):
                read(actor, person, va)
    for person in people:
        back_on_stage(actor, stage, person)


def new_family(actor: Actor) -> Process:
    """An ancestor with a heap, a program file and the shared log."""
    person = be_born(actor)
    allocate(actor, person, Range(HEAP, HEAP + HEAP_PAGES * PAGE, READ_WRITE))
    map_file(actor, person, Range(TEXT, TEXT + FILE_PAGES * PAGE, READ_WRITE, False, 0, 0))
    map_file(actor, person, Range(LOG, LOG + FILE_PAGES * PAGE, READ_WRITE, True, 1, 0))
    for page in range(HEAP_PAGES):
        write(actor, person, HEAP + page * PAGE)
    return person


def live_a_little(actor: Actor, person: Process) -> None:
    """Some loads and stores."""
    for _ in range(actor.rng.randrange(1, 5)):
        write_somewhere(actor, person)
    for _ in range(actor.rng.randrange(2, 7)):
        read(actor, person, somewhere(actor, person))


def write_somewhere(actor: Actor, person: Process) -> None:
    """One store."""
    write(actor, person, somewhere(actor, person))


def somewhere(actor: Actor, person: Process) -> int:
    """An address that is mapped."""
    piece = actor.rng.choice(person.picture.touchable(True))
    return piece.start + actor.rng.randrange((piece.end - piece.start) // PAGE) * PAGE


def clip(actor: Actor, person: Process) -> None:
    """Unmap a piece of the heap, from its start or its middle."""
    first = actor.rng.randrange(HEAP_PAGES)
    length = actor.rng.randrange(1, 3)
    unmap(actor, person, HEAP + first * PAGE, HEAP + min(first + length, HEAP_PAGES) * PAGE)


def sync_the_log(actor: Actor, person: Process) -> None:
    """Write the shared file back; sometimes asynchronously."""
    write(actor, person, LOG + actor.rng.randrange(FILE_PAGES) * PAGE)
    clean(actor, person, LOG, LOG + FILE_PAGES * PAGE, actor.rng.random() < 0.8)


def back_on_stage(actor: Actor, stage: Stage, person: Process) -> None:
    """Somebody else may play it; with a full stage it dies."""
    if not stage.put(actor, person):
        leave(actor, person)
