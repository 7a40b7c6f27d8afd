"""Steps: memory that processes find by a number, and children that do not share it."""

from __future__ import annotations

from stress.contents import SHARED_SPACES, Region
from stress.ops import Actor, Process, process_map
from stress.trace.picture import Range
from vmcore.constants import KERN_SUCCESS, VM_INHERIT_COPY, VM_INHERIT_SHARE, VM_PROT_READ, VM_PROT_WRITE
from vmcore.map_named import vm_map_named
from vmcore.map_protect import vm_map_inherit
from vmcore.vm_error import VmError

NAMED_SPACES = SHARED_SPACES + 0x3FFE_0000  # names for the content oracle: no region's number


def map_named(actor: Actor, process: Process, start: int, pages: int, name: int) -> None:
    """Map the first pages of a name here.  For the content oracle it is memory that all of them share."""
    actor.native.begin("map named", name)
    vm, length = actor.vm, pages * actor.page
    vm_map_named(vm, process_map(vm, process), name, length, 0, start)
    first = start // actor.page
    process.journal.forget(first, first + pages)
    process.journal.regions.append(Region(first, first + pages, NAMED_SPACES + name, 0))
    process.picture.map(Range(start, start + length, VM_PROT_READ | VM_PROT_WRITE, shared=True))
    actor.native.end()


def inherit(actor: Actor, process: Process, start: int, end: int, shared: bool) -> None:
    """Whether children share this range, or get a copy of it."""
    actor.native.begin("inherit", start)
    how = VM_INHERIT_SHARE if shared else VM_INHERIT_COPY
    code = vm_map_inherit(actor.vm, process_map(actor.vm, process), start, end, how)
    if code != KERN_SUCCESS:
        raise VmError("vm_map_inherit", code)
    actor.native.end()
