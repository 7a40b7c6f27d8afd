"""Programs that live just long enough for their heap to grow out of memory; each starts with none.

The window: the first page-out of a heap makes a pager of the size that the heap has at that moment,
while its program goes on growing it page by page.
"""

from stress.ops.core import Actor, allocate, create_process, leave, read, write
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of

HEAP, HEAP_PAGES = 0x10000, 20

scenario = Scenario(
    "short-heaps",
    "programs whose heaps grow page by page until they are paged out, and that end then",
    pages=32,
    disk_ms=0.1,
)


@scenario.role("program")
def grow_and_end(actor: Actor, pool: ProcessPool) -> None:
    """Move the break by a page or two and store there; look back at times, and at everything in the end."""
    person = create_process(actor)
    end = HEAP
    while end < HEAP + HEAP_PAGES * PAGE:
        more = actor.rng.randrange(1, 3)
        allocate(actor, person, pages_of(end, more))
        for page in range(more):
            write(actor, person, end + page * PAGE)
        end += more * PAGE
        if actor.rng.random() < 0.1:
            read(actor, person, HEAP + actor.rng.randrange((end - HEAP) // PAGE) * PAGE)
    for va in range(HEAP, end, PAGE):
        read(actor, person, va)
    leave(actor, person)
