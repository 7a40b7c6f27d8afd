"""Devices that no process keeps: each visit is short, and the first of every crowd finds no page there.

The window: the pager puts a device's page in the place of the one that the fault has planted, for which
another visitor is waiting already, while memory is so short that a free frame finds a taker at once.
"""

from stress.ops.core import Actor, Process, allocate, create_process, leave, process_map, read, write
from stress.oracles.contents import SHARED_SPACES, Region
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, write_all
from vmcore.space.map_device import vm_map_device

DEVICES, DEVICE_PAGES = 2, 8
MEMORY, HEAP, HEAP_PAGES = 0x10000, 0x40000, 8
DEVICE_SPACES = SHARED_SPACES + 0x3FFE_0000  # names for the content oracle: no region's numbers

scenario = Scenario(
    "device-visits",
    "devices that are mapped, looked through and left again, with no object kept",
    pages=40,
    disk_ms=0.2,
    tables={"cache_max": 0, "devices": DEVICES, "device_pages": DEVICE_PAGES},
)


@scenario.role("visitor", count=3)
def look_through_a_device(actor: Actor, pool: ProcessPool) -> None:
    """All its pages from the first to the last, as every process does."""
    person = create_process(actor)
    map_device(actor, person, actor.rng.randrange(DEVICES))
    for page in range(DEVICE_PAGES):
        (write if actor.rng.random() < 0.3 else read)(actor, person, MEMORY + page * PAGE)
    leave(actor, person)


@scenario.role("pressure")
def eat_memory(actor: Actor, pool: ProcessPool) -> None:
    """A device as well, and then memory that another process has just given back."""
    person = create_process(actor)
    map_device(actor, person, actor.rng.randrange(DEVICES))
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    for page in range(DEVICE_PAGES):
        read(actor, person, MEMORY + page * PAGE)
    write_all(actor, person, HEAP, HEAP_PAGES)
    leave(actor, person)


@scenario.check
def every_device_is_as_it_was_left(actor: Actor, pool: ProcessPool) -> None:
    """A device keeps its contents when no process shows it."""
    for device in range(DEVICES):
        person = create_process(actor)
        map_device(actor, person, device)
        for page in range(DEVICE_PAGES):
            read(actor, person, MEMORY + page * PAGE)
        leave(actor, person)


def map_device(actor: Actor, person: Process, device: int) -> None:
    """A whole device; for the content oracle it is memory that all visitors share."""
    actor.native.begin("map device", MEMORY)
    vm = actor.vm
    length = DEVICE_PAGES * PAGE
    vm_map_device(vm, process_map(vm, person), vm.devices.views[device + 1], length, 0, MEMORY)
    first = MEMORY // PAGE
    person.journal.forget(first, first + DEVICE_PAGES)
    person.journal.regions.append(Region(first, first + DEVICE_PAGES, DEVICE_SPACES + device, 0))
    person.picture.map(pages_of(MEMORY, DEVICE_PAGES, shared=True))
    actor.native.end()
