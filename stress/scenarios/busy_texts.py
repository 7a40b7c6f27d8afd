"""Programs are started from files that others want to replace, but only while no process runs them.

The window: a file is not in use when it is asked for, mapped a moment later, and cut then.
"""

from stress.ops.core import Actor, Process, allocate, create_process, leave, map_file
from stress.ops.files import lay_down_cuts, read, replace, write
from stress.oracles.at_rest import InvariantViolated
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, READ, file_pages, pages_of

FILES, FILE_PAGES = 2, 3
TEXT, HEAP = 0x10000, 0x80000
LAST = TEXT + (FILE_PAGES - 1) * PAGE

scenario = Scenario(
    "busy-texts",
    "files that are cut only while no process has them mapped, and programs that are started from them",
    pages=48,
    files=(FILE_PAGES,) * FILES,
    disk_ms=0.2,
    tables={"cache_max": 1},
)


@scenario.setup
def count_the_cuts(actor: Actor, pool: ProcessPool) -> None:
    """Make the tables that count the cuts of each page."""
    lay_down_cuts(actor.vm.arena, (FILE_PAGES,) * FILES)


@scenario.role("program", count=3)
def run_a_program(actor: Actor, pool: ProcessPool) -> None:
    """A process that could read the last page of its mapping can read all of it, until it unmaps the file."""
    person = create_process(actor)
    map_file(actor, person, file_pages(TEXT, FILE_PAGES, actor.rng.randrange(FILES), prot=READ))
    if read(actor, person, LAST):
        allocate(actor, person, pages_of(HEAP, 2))
        for va in (*range(TEXT, LAST, PAGE), LAST):
            require(actor, person, va)
    leave(actor, person)


@scenario.role("installer")
def install(actor: Actor, pool: ProcessPool) -> None:
    """Replace a file that no process runs, and write a little into the new one."""
    file = actor.rng.randrange(FILES)
    if not replace(actor, file):
        return
    person = create_process(actor)
    map_file(actor, person, file_pages(TEXT, FILE_PAGES, file, shared=True))
    write(actor, person, TEXT + actor.rng.randrange(FILE_PAGES) * PAGE)
    leave(actor, person)


@scenario.check
def every_file_is_whole(actor: Actor, pool: ProcessPool) -> None:
    """No process cuts now."""
    for file in range(FILES):
        person = create_process(actor)
        map_file(actor, person, file_pages(TEXT, FILE_PAGES, file, prot=READ))
        for va in (*range(TEXT, LAST, PAGE), LAST):
            require(actor, person, va)
        leave(actor, person)


def require(actor: Actor, person: Process, va: int) -> None:
    """A load that may not be refused."""
    if not read(actor, person, va):
        raise InvariantViolated([f"the text of a program is cut at {va:#x} while it runs"])
