"""Files that one process keeps mapped at colours of its own choice, while others map them wherever there is
room.

The window: none; what is looked at is that the others follow: a page of each is wired, and tells where.
No process keeps one more file mapped: there all must come to one answer without seeing each
other.
"""

from stress.ops.core import Actor, Process, create_process, leave, map_file, read, write
from stress.ops.placement import allocate_anywhere, map_file_anywhere
from stress.ops.wiring import wire
from stress.oracles.at_rest import InvariantViolated
from stress.oracles.contents import FILE_SPACES, space_name
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, file_pages, processes_read_everything, random_accesses

FILES, FILE_PAGES = 3, 6
COLOURS = 16  # pages after which addresses are alike to the cache
FIXED, APART = 0x400000, 0x40000
CHOSEN = (3, 10)  # the colours that file 0 and file 1 begin at
UNCHOSEN = 0  # what the machine says where nothing is mapped

scenario = Scenario(
    "alignment",
    "files mapped anywhere, while a process that has chosen its addresses keeps them mapped",
    pages=120,
    files=(FILE_PAGES,) * FILES,
    places=2,
)


@scenario.setup
def choose_and_stay(actor: Actor, pool: ProcessPool) -> None:
    """This process stays to the end, with the first page of each file wired."""
    keeper = create_process(actor)
    for file, colour in enumerate(CHOSEN):
        start = FIXED + file * APART + colour * PAGE
        map_file(actor, keeper, file_pages(start, FILE_PAGES, file, shared=True))
        wire(actor, keeper, start, start + PAGE)
    pool.put(actor, keeper)


@scenario.role("mapper", count=3)
def follow_the_choice(actor: Actor, pool: ProcessPool) -> None:
    """Some memory in the way, then pieces of the files, which must lie right; use them, go."""
    rng = actor.rng
    person = create_process(actor)
    for _ in range(rng.randrange(1, 4)):
        allocate_anywhere(actor, person, rng.randrange(1, 4), 3)
        file, first = rng.randrange(FILES), rng.randrange(FILE_PAGES - 1)
        like = file_pages(0, rng.randrange(1, FILE_PAGES - first + 1), file, shared=True, first=first)
        require_colour(person, map_file_anywhere(actor, person, like), file, first)
    random_accesses(actor, person)
    leave(actor, person)


@scenario.role("keeper")
def use_what_was_chosen(actor: Actor, pool: ProcessPool) -> None:
    """That process works in its mappings."""
    keeper = pool.take(actor)
    if keeper is None:
        return
    for _ in range(4):
        file = actor.rng.randrange(len(CHOSEN))
        va = FIXED + file * APART + (CHOSEN[file] + actor.rng.randrange(FILE_PAGES)) * PAGE
        (write if actor.rng.random() < 0.5 else read)(actor, keeper, va)
    pool.put(actor, keeper)


scenario.check(processes_read_everything)


def require_colour(person: Process, start: int, file: int, first: int) -> None:
    """Every mapping of a file has one colour.  InvariantViolated."""
    colour, right = (start // PAGE - first) % COLOURS, (*CHOSEN, UNCHOSEN)[file]
    if colour != right:
        what = f"page {first} of {space_name(FILE_SPACES + file)} at {start:#x} of space {person.space.slot}"
        raise InvariantViolated([f"{what}: so the file begins at colour {colour}, and not at {right}"])
