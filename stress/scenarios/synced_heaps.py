"""Heaps that were never in swap are synced by one thread while others fork, and fault them in.

The window: who syncs anonymous memory makes its pager, with the object unlocked; meanwhile a collapse may
bring the pager of the object below, or somebody else may be making one, too.
"""

from stress.ops.core import Actor, Process, allocate, be_born, fork, leave, share
from stress.ops.files import sync
from stress.ops.shared import peek, poke
from stress.scenario.process_pool import Stage
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of

HEAP, HEAP_PAGES = 0x10000, 6
END = HEAP + HEAP_PAGES * PAGE

scenario = Scenario(
    "synced-heaps",
    "heaps that one thread syncs while another forks and a third pages them in",
    pages=40,
    places=9,
    disk_ms=0.5,
)


@scenario.setup
def two_programs(actor: Actor, stage: Stage) -> None:
    """Each with three threads, which never end while the run goes on."""
    for _ in range(2):
        first = be_born(actor)
        first.journal.crowd()
        allocate(actor, first, pages_of(HEAP, HEAP_PAGES), draw=False)
        for _ in range(3):
            stage.put(actor, share(actor, first))
        stage.put(actor, first)


@scenario.role("forker", count=2)
def fork_and_bury(actor: Actor, stage: Stage) -> None:
    """Children come and go; each leaves a shadow behind that has pages and no pager."""
    thread = stage.take(actor)
    if thread is None:
        return
    child = fork(actor, thread)
    for _ in range(3):
        poke(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    leave(actor, child)
    for _ in range(3):
        poke(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    stay(actor, stage, thread)


@scenario.role("syncer", count=2)
def sync_the_heap(actor: Actor, stage: Stage) -> None:
    """Everything to the disk, again and again."""
    thread = stage.take(actor)
    if thread is None:
        return
    for _ in range(3):
        sync(actor, thread, HEAP, END, actor.rng.random() < 0.5, False)
        peek(actor, thread, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
    stay(actor, stage, thread)


@scenario.role("glutton")
def eat_memory(actor: Actor, stage: Stage) -> None:  # noqa: ARG001 - he keeps to himself
    """Somebody who keeps the daemon awake."""
    person = be_born(actor)
    allocate(actor, person, pages_of(HEAP, 4 * HEAP_PAGES), draw=False)
    for page in range(4 * HEAP_PAGES):
        poke(actor, person, HEAP + page * PAGE)
    leave(actor, person)


def stay(actor: Actor, stage: Stage, thread: Process) -> None:
    """Back on the stage, which has room for all of them."""
    if not stage.put(actor, thread):
        leave(actor, thread)
