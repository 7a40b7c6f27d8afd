"""Steps in memory that another thread may unmap at any moment: a fault there is an answer, not an error."""

from __future__ import annotations

from stress.ops.core import Actor, Process
from stress.oracles.at_rest import wrong_data
from stress.oracles.contents import SIZE, ZERO, decode, describe
from vmcore.constants import KERN_INVALID_ADDRESS
from vmcore.space.access import vm_read, vm_write
from vmcore.vm_error import VmFault


def peek(actor: Actor, process: Process, va: int) -> bool:
    """Load a page that may go at any moment: zeros or a store of this space.  False: not mapped now."""
    actor.native.begin("peek", va)
    mapped = True
    try:
        data = vm_read(actor.vm, process.space, va)
    except VmFault as error:
        if error.code != KERN_INVALID_ADDRESS:
            raise
        mapped = False
    else:
        check_genuine(actor, process, va, data)
    actor.native.end()
    return mapped


def poke(actor: Actor, process: Process, va: int) -> bool:
    """Store to a page that may go at any moment.  False: not mapped now."""
    witness = actor.witness
    stamp = witness.issue(process.journal.space, va // actor.page)
    actor.native.begin("poke", va)
    mapped = True
    try:
        vm_write(actor.vm, process.space, va, stamp * witness.repeat)
    except VmFault as error:
        if error.code != KERN_INVALID_ADDRESS:
            raise
        mapped = False
    actor.native.end()
    return mapped


def check_genuine(actor: Actor, process: Process, va: int, data: bytes) -> None:
    """Zeros, or one stamp all over the page that was stored here, in this space.  WrongData."""
    witness, page = actor.witness, va // actor.page
    witness.row.reads += 1
    stamp = data[:SIZE]
    found = decode(stamp)
    fine = data == stamp * witness.repeat and (
        stamp == ZERO
        or (
            found is not None
            and (found.space, found.page) == (process.journal.space, page)
            and witness.was_issued(found)
        )
    )
    if not fine:
        where = f"page {page:#x} of space {process.journal.space}, which may go at any moment"
        raise wrong_data(actor.vm, process.space, va, f"{where}: found {describe(data)}")
