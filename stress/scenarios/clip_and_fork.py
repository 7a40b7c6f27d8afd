"""Holes are cut into regions, then the rest is forked, written and paged out.

The window: a clipped entry gives its next shadow an offset that is not zero, and after a collapse of
paged objects the pager has one too; code that forgets to translate finds another page's data.
"""

from stress.ops.core import Actor, Process, discard, fork, leave, protect, unmap
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    exit_with_probability,
    processes_read_everything,
    random_accesses,
    read_all,
    with_written_heap,
    write_somewhere,
)

HEAP, HEAP_PAGES = 0x10000, 16

scenario = Scenario(
    "clip-and-fork",
    "regions with holes cut into them, forked again and again while their pages are in swap",
    pages=72,
    places=12,
    disk_ms=0.2,
)


@scenario.role("cutter", count=3)
def cut_and_fork(actor: Actor, pool: ProcessPool) -> None:
    """Take a piece away, fork, let both write, and let one of them go."""
    person = pool.take(actor) or whole(actor)
    cut(actor, person)
    child = fork(actor, person)
    for _ in range(3):
        write_somewhere(actor, person)
        write_somewhere(actor, child)
    first, second = (person, child) if actor.rng.random() < 0.5 else (child, person)
    leave(actor, first)
    read_all(actor, second)
    tired = second.generation > 8 or not second.picture.touchable(True)
    exit_with_probability(actor, pool, second, 1.0 if tired else 0.1)


@scenario.role("user")
def use_what_is_left(actor: Actor, pool: ProcessPool) -> None:
    """Loads and stores in the pieces."""
    person = pool.take(actor) or whole(actor)
    if person.picture.touchable(True):
        random_accesses(actor, person)
    exit_with_probability(actor, pool, person, 0.1)


scenario.check(processes_read_everything)


def whole(actor: Actor) -> Process:
    """A heap in one piece."""
    return with_written_heap(actor, HEAP, HEAP_PAGES)


def cut(actor: Actor, person: Process) -> None:
    """A hole, a piece of zeros, or a piece that was read-only for a moment: each clips the entry."""
    rng = actor.rng
    first = rng.randrange(HEAP_PAGES)
    start = HEAP + first * PAGE
    end = min(start + rng.randrange(1, 4) * PAGE, HEAP + HEAP_PAGES * PAGE)
    whole_range = person.picture.runs(start, end) == [(start, end)]
    if rng.random() < 0.4:
        unmap(actor, person, start, end)
    elif whole_range and rng.random() < 0.5:
        discard(actor, person, start, end)
    elif whole_range:
        protect(actor, person, start, end, 1)
        protect(actor, person, start, end, 3)
