"""Programs are started again and again from more files than the object cache keeps.

The window: the last user of a file leaves, its object is cached or trimmed, its dirty pages are
written and its pager dies, while another process maps the very same file again.
"""

from stress.ops.core import Actor, Process, allocate, create_process, execute, fork, leave, map_file, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    file_pages,
    pages_of,
    processes_read_everything,
    random_accesses,
    return_to_pool,
)

PROGRAMS = 112  # the cache keeps 100
PROGRAM_PAGES = 2
TEXT, DATA, STACK, LOG = 0x10000, 0x20000, 0x30000, 0x40000

scenario = Scenario(
    "exec-storm",
    "programs started from more than a hundred files, so that the object cache must trim",
    pages=224,
    files=(PROGRAM_PAGES,) * PROGRAMS,
    places=10,
    tables={"vnodes": PROGRAMS + 1, "cache_max": 20},
)


@scenario.role("shell", count=3)
def run_a_program(actor: Actor, pool: ProcessPool) -> None:
    """A shell forks, the child becomes a program, works and leaves."""
    shell = pool.take(actor) or program(actor, create_process(actor))
    child = fork(actor, shell)
    write(actor, shell, STACK)
    execute(actor, child)
    child.picture.clear()
    program(actor, child)
    random_accesses(actor, child)
    leave(actor, child)
    if actor.rng.random() < 0.2:
        leave(actor, shell)
    else:
        return_to_pool(actor, pool, shell)


@scenario.role("installer")
def replace_a_program(actor: Actor, pool: ProcessPool) -> None:
    """Write into a program's file while others run it; at times this is the file's last user."""
    person = create_process(actor)
    file = actor.rng.randrange(PROGRAMS)
    map_file(actor, person, file_pages(LOG, PROGRAM_PAGES, file, shared=True))
    write(actor, person, LOG + actor.rng.randrange(PROGRAM_PAGES) * actor.page)
    leave(actor, person)


scenario.check(processes_read_everything)


def program(actor: Actor, person: Process) -> Process:
    """Text and data of some program, and a stack."""
    rng = actor.rng
    few = rng.random() < 0.3  # some programs are run all the time
    file = rng.randrange(4) if few else rng.randrange(PROGRAMS)
    map_file(actor, person, file_pages(TEXT, PROGRAM_PAGES, file, prot=1))
    map_file(actor, person, file_pages(DATA, PROGRAM_PAGES, file))
    allocate(actor, person, pages_of(STACK, 2))
    write(actor, person, STACK)
    return person
