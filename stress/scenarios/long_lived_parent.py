"""A server that forks for every request, while memory is so short that its pages are in swap.

The window: parts of parent and child are paged out between fork and exit, so the front object of the
long-lived process has a pager of its own when the chain behind it should collapse.
"""

from stress.ops.core import Actor, Process, fork, leave, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import (
    PAGE,
    processes_read_everything,
    random_accesses,
    read_all,
    return_to_pool,
    with_written_heap,
)

HEAP, HEAP_PAGES = 0x10000, 24
REQUEST_PAGES = 3

scenario = Scenario(
    "long-lived-parent",
    "servers that fork for every request while most of their memory lies in swap",
    pages=96,
    places=6,
    disk_ms=0.3,
)


@scenario.setup
def one_server_each(actor: Actor, pool: ProcessPool) -> None:
    """Servers live for ever; there are fewer of them than workers."""
    for _ in range(3):
        return_to_pool(actor, pool, server(actor))


@scenario.role("server", count=3)
def serve_a_request(actor: Actor, pool: ProcessPool) -> None:
    """Fork, let the child work, note the request, let the child exit."""
    parent = pool.take(actor) or server(actor)
    child = fork(actor, parent)
    for _ in range(REQUEST_PAGES):
        page = actor.rng.randrange(HEAP_PAGES)
        write(actor, parent, HEAP + page * PAGE)
        write(actor, child, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
        read(actor, child, HEAP + page * PAGE)
    leave(actor, child)
    random_accesses(actor, parent)
    return_to_pool(actor, pool, parent)


@scenario.role("pressure")
def eat_memory(actor: Actor, pool: ProcessPool) -> None:
    """A process whose every visit drives the others' pages to the disk."""
    person = with_written_heap(actor, HEAP, HEAP_PAGES)
    read_all(actor, person)
    leave(actor, person)


scenario.check(processes_read_everything)


def server(actor: Actor) -> Process:
    """A process that has written all of its heap."""
    return with_written_heap(actor, HEAP, HEAP_PAGES)
