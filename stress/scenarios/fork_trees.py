"""Parent, child and grandchild alive at once, and any of them leaves first.

The window: the middle of a chain dies while both ends work on it, so the collapse that its exit
starts runs over an object whose front is in a fault and whose backing is another process's front.
"""

from stress.ops.core import Actor, Process, fork, leave, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    processes_read_everything,
    random_accesses,
    read_all,
    return_to_pool,
    with_written_heap,
    write_somewhere,
)

HEAP, HEAP_PAGES = 0x10000, 10
DEPTH = 4

scenario = Scenario(
    "fork-trees",
    "families of four generations at once whose members leave in random order",
    pages=160,
    places=16,
)


@scenario.setup
def two_ancestors(actor: Actor, pool: ProcessPool) -> None:
    """With every page of their heaps written."""
    for _ in range(2):
        return_to_pool(actor, pool, ancestor(actor))


@scenario.role("tree", count=3)
def grow_and_fell(actor: Actor, pool: ProcessPool) -> None:
    """A line of descendants, each with a page of its own; then they leave in any order."""
    line = [pool.take(actor) or ancestor(actor)]
    for _ in range(DEPTH - 1):
        child = fork(actor, line[-1])
        write_somewhere(actor, line[-1])
        write(actor, child, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
        line.append(child)
    actor.rng.shuffle(line)
    for person in line[1:]:
        random_accesses(actor, person)
        if actor.rng.random() < 0.3 and person.generation < 3 * DEPTH:
            return_to_pool(actor, pool, person)
        else:
            leave(actor, person)
    read_all(actor, line[0])
    if line[0].generation > 2 * DEPTH:
        leave(actor, line[0])
    else:
        return_to_pool(actor, pool, line[0])


@scenario.role("neighbour")
def fault_in_the_middle(actor: Actor, pool: ProcessPool) -> None:
    """A process of a tree goes on while its relatives come and go."""
    person = pool.take(actor) or ancestor(actor)
    for _ in range(4):
        random_accesses(actor, person)
    return_to_pool(actor, pool, person)


scenario.check(processes_read_everything)


def ancestor(actor: Actor) -> Process:
    """A heap, all of it written."""
    return with_written_heap(actor, HEAP, HEAP_PAGES)
