"""Short-lived programs whose heaps grow a few times just when their first pages are to go.

The window: an object gets its pager at its first page-out, for the size that it has then; a heap that is
still without one grows in place.
"""

from stress.acts import PAGE, pages_of, write_all
from stress.ops import Actor, allocate, be_born, leave, read
from stress.scenario import Scenario
from stress.stage import Stage

HEAP = 0x10000
FIRST, GROWTHS = 3, 8  # pages at birth; how often it grows

scenario = Scenario(
    "young-heaps",
    "short lives with heaps that grow page by page while memory is short",
    pages=36,
    places=2,
    disk_ms=0.1,
)


@scenario.role("program", count=4)
def live_and_grow(actor: Actor, stage: Stage) -> None:  # noqa: ARG001 - nobody stays
    """Born, grown, read from end to end, gone."""
    person = be_born(actor)
    allocate(actor, person, pages_of(HEAP, FIRST))
    write_all(actor, person, HEAP, FIRST)
    end = HEAP + FIRST * PAGE
    for _ in range(GROWTHS):
        allocate(actor, person, pages_of(end, 1))
        write_all(actor, person, end, 1)
        end += PAGE
    for va in range(HEAP, end, PAGE):
        read(actor, person, va)
    leave(actor, person)
