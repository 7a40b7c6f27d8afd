"""A device's memory is mapped, stored to, left and mapped again, while memory proper is short.

The window: the last user has left, the device's object enters the cache with pages that may be on no
paging queue at all, and the daemon walks its queues.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, process_map, read, write
from stress.oracles.contents import SHARED_SPACES, Region
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    pages_of,
    processes_read_everything,
    with_written_heap,
    write_all,
)
from vmcore.space.map_device import vm_map_device

MEMORY, MEMORY_PAGES = 0x10000, 6  # where every process maps the device
HEAP, HEAP_PAGES = 0x30000, 12
DEVICE_SPACE = SHARED_SPACES + 0x3FFF_0000  # its name for the content oracle: no region's number

scenario = Scenario(
    "device-users",
    "a device that is mapped and left by every process while memory is short",
    pages=40,
    places=6,
    disk_ms=0.2,
)


@scenario.role("user", count=3)
def use_the_device(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores; a child shares the device."""
    person = pool.take(actor) or user(actor)
    touch(actor, person)
    if actor.rng.random() < 0.3 and person.generation < 4:
        child = fork(actor, person)
        touch(actor, child)
        exit_with_probability(actor, pool, child, 0.8)
    exit_with_probability(actor, pool, person, 0.5)  # often the last


@scenario.role("pressure")
def eat_memory(actor: Actor, pool: ProcessPool) -> None:
    """A process that keeps the daemon awake."""
    person = with_written_heap(actor, HEAP, 2 * HEAP_PAGES)
    leave(actor, person)


scenario.check(processes_read_everything)


def user(actor: Actor) -> Process:
    """The device and a heap."""
    person = create_process(actor)
    map_device(actor, person)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, HEAP, HEAP_PAGES // 2)
    return person


def map_device(actor: Actor, person: Process) -> None:
    """Device 1 from its beginning; for the content oracle it is memory that all of them share."""
    actor.native.begin("map device", MEMORY)
    vm = actor.vm
    vm_map_device(vm, process_map(vm, person), vm.devices.views[1], MEMORY_PAGES * PAGE, 0, MEMORY)
    first = MEMORY // PAGE
    person.journal.forget(first, first + MEMORY_PAGES)
    person.journal.regions.append(Region(first, first + MEMORY_PAGES, DEVICE_SPACE, 0))
    person.picture.map(pages_of(MEMORY, MEMORY_PAGES, shared=True))
    actor.native.end()


def touch(actor: Actor, person: Process) -> None:
    """Some pages of the device, some of the heap."""
    for _ in range(6):
        device = actor.rng.random() < 0.6
        base, pages = (MEMORY, MEMORY_PAGES) if device else (HEAP, HEAP_PAGES)
        va = base + actor.rng.randrange(pages) * PAGE
        (write if actor.rng.random() < 0.5 else read)(actor, person, va)
