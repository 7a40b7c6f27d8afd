"""Steps where a file may or may not be mapped just now: one thread of the space maps and unmaps it."""

from __future__ import annotations

from stress.ops.core import Actor, Process
from stress.oracles.at_rest import wrong_data
from stress.oracles.contents import FILE_SPACES, Mismatch, file_stamp
from vmcore.constants import KERN_INVALID_ADDRESS
from vmcore.space.access import vm_read
from vmcore.vm_error import VmFault


def read_racing_unmap(actor: Actor, process: Process, va: int, file: int, page: int) -> bool:
    """Load a page that shows this page of a file, or nothing.  False: nothing is mapped now."""
    witness, key = actor.witness, (FILE_SPACES + file, page)
    actor.native.begin("glance", va)
    mapped = True
    try:
        data = witness.load_shared(*key, lambda: vm_read(actor.vm, process.space, va))
        witness.check_shared(*key, data, file_stamp(file, page))
    except VmFault as error:
        if error.code != KERN_INVALID_ADDRESS:
            raise
        mapped = False
    except Mismatch as error:
        raise wrong_data(actor.vm, process.space, va, str(error)) from None
    actor.native.end()
    return mapped
