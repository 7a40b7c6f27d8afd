"""Another process looks into the address spaces of processes that are about to exit.

The window: the last user of a space leaves and takes its map down, while the onlooker wants the map's lock.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import exit_with_probability, pages_of, processes_read_everything, return_to_pool
from vmcore.space.vmspace_look import vmspace_hold, vmspace_let_go, vmspace_size

HEAP, APART = 0x10000, 0x10000
HEAPS, LOOKS = 4, 12

scenario = Scenario(
    "onlookers",
    "processes that exit while another process looks into their maps",
    pages=96,
    places=2,
)


@scenario.role("forker", count=2)
def go_on_as_a_child(actor: Actor, pool: ProcessPool) -> None:
    """Fork and exit, as a program that leaves its terminal; the child's map may be the parent's record."""
    for _ in range(3):
        person = pool.take(actor) or program(actor)
        child = fork(actor, person)
        leave(actor, person)
        if actor.rng.random() < 0.2:
            write(actor, child, HEAP + actor.rng.randrange(HEAPS) * APART)
        exit_with_probability(actor, pool, child, 0.1)


@scenario.role("onlooker", count=2)
def look_in(actor: Actor, pool: ProcessPool) -> None:
    """How large is that process?  It may go on, and exit, while we count."""
    person = pool.take(actor) or program(actor)
    vm, native, space = actor.vm, actor.native, person.space
    native.begin("hold", space.slot)
    vmspace_hold(vm, space)
    native.end()
    return_to_pool(actor, pool, person)
    native.begin("look in", space.slot)
    for _ in range(LOOKS):
        vmspace_size(vm, space)
    vmspace_let_go(vm, space)
    native.end()


scenario.check(processes_read_everything)


def program(actor: Actor) -> Process:
    """A few pieces of memory."""
    person = create_process(actor)
    for number in range(HEAPS):
        allocate(actor, person, pages_of(HEAP + number * APART, 1))
        write(actor, person, HEAP + number * APART)
    return person
