"""Children that stay, and in time write all that they were given, as does the parent.

The window: what the two still shared is in swap when neither sees anything of it any more; and both live
on for long.
"""

from stress.ops.core import Actor, Process, fork, leave, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    processes_read_everything,
    read_all,
    with_written_heap,
)

HEAP, HEAP_PAGES = 0x10000, 5

scenario = Scenario(
    "grown-children",
    "children that stay, and rewrite all that they have inherited, while memory is short",
    pages=44,
    places=8,
    disk_ms=0.2,
)


@scenario.role("family", count=3)
def grow_up(actor: Actor, pool: ProcessPool) -> None:
    """A child; a while; then parent and child write everything, page by page in turn, and stay."""
    parent = pool.take(actor) or newborn(actor)
    child = fork(actor, parent)
    short_lived(actor)
    for page in actor.rng.sample(range(HEAP_PAGES), HEAP_PAGES):
        for person in (parent, child):
            write(actor, person, HEAP + page * PAGE)
    exit_with_probability(actor, pool, child, 0.3)
    exit_with_probability(actor, pool, parent, 0.3 if parent.generation < 5 else 1.0)


@scenario.role("pressure")
def eat_memory(actor: Actor, pool: ProcessPool) -> None:
    """A process whose every visit drives the others' pages to the disk."""
    short_lived(actor)


scenario.check(processes_read_everything)


def newborn(actor: Actor) -> Process:
    """A heap, all of it written."""
    return with_written_heap(actor, HEAP, HEAP_PAGES)


def short_lived(actor: Actor) -> None:
    """A short life that needs much memory."""
    person = with_written_heap(actor, HEAP, 3 * HEAP_PAGES)
    read_all(actor, person)
    leave(actor, person)
