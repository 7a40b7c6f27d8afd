"""Every process fills one buffer after the other, and syncs each once, when it has grown old.

The window: the first sync of anonymous memory makes its pager, with the object unlocked, and the daemon comes
to one of the buffer's pages at that moment: buffers are synced at the age at which it finds them.
"""

from stress.ops.core import Actor, allocate, clean, create_process, leave, read, unmap
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, pages_of, write_all

BUFFERS, APART, BUFFER_PAGES = 0x10000, 0x10000, 2
ROUND = 40  # buffers of a process
OLD = (2, 10)  # of 64 frames each of four users has those of eight buffers

scenario = Scenario(
    "first-syncs",
    "buffers that are synced for the first time while the daemon would write them",
    pages=64,
    places=4,
    disk_ms=0.05,
)


@scenario.role("user", count=4)
def fill_and_sync(actor: Actor, pool: ProcessPool) -> None:
    """A new buffer; an old one to the disk, once, and away."""
    person = create_process(actor)
    kept: list[int] = []
    for number in range(ROUND):
        start = BUFFERS + number * APART
        allocate(actor, person, pages_of(start, BUFFER_PAGES))
        write_all(actor, person, start, BUFFER_PAGES)
        kept.append(start)
        if len(kept) > actor.rng.randrange(*OLD):
            old = kept.pop(0)
            clean(actor, person, old, old + BUFFER_PAGES * PAGE, sync=actor.rng.random() < 0.5)
            for page in range(BUFFER_PAGES):
                read(actor, person, old + page * PAGE)
            unmap(actor, person, old, old + BUFFER_PAGES * PAGE)
    leave(actor, person)
