"""Heaps that are written once and read for ever, of which only a part fits into memory.

The window: none; what is looked at is the work.  A page that comes back from the disk and is only read
need not be written again, so there cannot be more page-outs than there were reasons.
"""

from stress.ops.core import Actor, Process
from stress.oracles.at_rest import InvariantViolated
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import processes_read_everything, read_all, return_to_pool, with_written_heap
from vmcore.stats import counters

HEAP, HEAP_PAGES = 0x10000, 24
REASONS = 2  # of one page: it was filled with zeros, it was stored to

scenario = Scenario(
    "second-reading",
    "memory that is written once and read again and again, partly in swap",
    pages=72,
    places=8,
)


@scenario.role("reader", count=4)
def read_it_again(actor: Actor, pool: ProcessPool) -> None:
    """Load every page of one process's heap."""
    person = pool.take(actor) or author(actor)
    read_all(actor, person)
    return_to_pool(actor, pool, person)


@scenario.check
def nothing_was_written_twice(actor: Actor, pool: ProcessPool) -> None:
    """Page-outs against reasons for them, over the whole run; and the contents."""
    counted = counters(actor.vm)
    written, filled = counted["v_pgpgout"], counted["v_zfod"]
    if written > REASONS * filled:
        raise InvariantViolated([f"{written} pages were written out, and only {filled} were ever stored to"])
    processes_read_everything(actor, pool)


def author(actor: Actor) -> Process:
    """A process that has written all of its heap, once."""
    return with_written_heap(actor, HEAP, HEAP_PAGES)
