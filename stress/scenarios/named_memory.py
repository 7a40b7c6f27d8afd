"""Memory that is mapped by its name, and snapshots of it that children take.

The window: one process stores to the memory, or collapses a chain above it, while another asks the hash for
the pager that the name stands for.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, process_map, read, write
from stress.oracles.at_rest import require_done
from stress.oracles.contents import SHARED_SPACES, Region
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, processes_read_everything, return_to_pool, write_all
from vmcore.constants import VM_INHERIT_COPY, VM_INHERIT_SHARE
from vmcore.space.access import vm_read
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_protect import vm_map_inherit

NAMES, NAME_PAGES = 2, 4
MEMORY, HEAP, HEAP_PAGES = 0x10000, 0x40000, 10
END = MEMORY + NAME_PAGES * PAGE
NAME_SPACES = SHARED_SPACES + 0x3FFD_0000  # names for the content oracle: no region's numbers

scenario = Scenario(
    "named-memory",
    "memory that is mapped by name, stored to by every process, and copied by children",
    pages=40,
    places=NAMES,
    disk_ms=0.2,
)


@scenario.setup
def keep_the_names(actor: Actor, pool: ProcessPool) -> None:
    """One process keeps each name mapped all the time: with its last user the contents would go."""
    for name in range(NAMES):
        person = create_process(actor)
        map_name(actor, person, name)
        return_to_pool(actor, pool, person)


@scenario.role("user", count=3)
def use_the_memory(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores that all that map the name can see; some of them by a child."""
    person = create_process(actor)
    map_name(actor, person, actor.rng.randrange(NAMES))
    touch(actor, person)
    if actor.rng.random() < 0.3:
        child = fork(actor, person)
        touch(actor, child)
        leave(actor, child)
    touch(actor, person)
    leave(actor, person)


@scenario.role("archivist")
def take_a_copy(actor: Actor, pool: ProcessPool) -> None:
    """A child that gets the memory as it is now, while its parent goes on storing to it."""
    person = create_process(actor)
    map_name(actor, person, actor.rng.randrange(NAMES))
    inherit(actor, person, VM_INHERIT_COPY)
    child = fork(actor, person)
    write(actor, person, MEMORY + actor.rng.randrange(NAME_PAGES) * PAGE)
    for va in range(MEMORY, END, PAGE):
        vm_read(actor.vm, child.space, va)
    inherit(actor, person, VM_INHERIT_SHARE)
    leave(actor, child)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, HEAP, HEAP_PAGES)
    touch(actor, person)
    leave(actor, person)


scenario.check(processes_read_everything)


def touch(actor: Actor, person: Process) -> None:
    """Some pages of the named memory."""
    for _ in range(6):
        va = MEMORY + actor.rng.randrange(NAME_PAGES) * PAGE
        (write if actor.rng.random() < 0.5 else read)(actor, person, va)


def map_name(actor: Actor, person: Process, name: int) -> None:
    """The memory of a name; for the content oracle it is memory that all its users share."""
    actor.native.begin("map name", MEMORY)
    vm = actor.vm
    vm_map_named(vm, process_map(vm, person), name + 1, NAME_PAGES * PAGE, 0, MEMORY)
    first = MEMORY // PAGE
    person.journal.forget(first, first + NAME_PAGES)
    person.journal.regions.append(Region(first, first + NAME_PAGES, NAME_SPACES + name, 0))
    person.picture.map(pages_of(MEMORY, NAME_PAGES, shared=True))
    actor.native.end()


def inherit(actor: Actor, person: Process, inheritance: int) -> None:
    """What the next child gets of the named memory."""
    actor.native.begin("inherit", MEMORY)
    vm = actor.vm
    code = vm_map_inherit(vm, process_map(vm, person), MEMORY, END, inheritance)
    require_done("inherit", MEMORY, code)
    actor.native.end()
