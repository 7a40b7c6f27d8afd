"""Steps that ask for what cannot be had, and must be told so with nothing changed."""

from __future__ import annotations

from stress.ops.core import Actor, Process, process_map
from stress.oracles.at_rest import InvariantViolated
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
)
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.msync import vm_map_clean


def require_code(what: str, address: int, code: int, expected: int) -> None:
    """The answer must be this one.  InvariantViolated."""
    if code != expected:
        raise InvariantViolated([f"{what} at {address:#x} was answered with {code} instead of {expected}"])


def protect_nothing(actor: Actor, process: Process, start: int, end: int) -> None:
    """Ask for other rights where nothing is mapped."""
    actor.native.begin("protect nothing", start)
    code = vm_map_protect(actor.vm, process_map(actor.vm, process), start, end, 1)
    require_code("protect of nothing", start, code, KERN_INVALID_ADDRESS)
    actor.native.end()


def protect_beyond_maximum(actor: Actor, process: Process, start: int, end: int, prot: int) -> None:
    """Ask for more rights than the range may ever have."""
    actor.native.begin("protect beyond maximum", start)
    code = vm_map_protect(actor.vm, process_map(actor.vm, process), start, end, prot)
    require_code("protect beyond the maximum", start, code, KERN_PROTECTION_FAILURE)
    actor.native.end()


def limit_rights(actor: Actor, process: Process, start: int, end: int, prot: int) -> None:
    """Set the maximum rights, and so the current ones."""
    actor.native.begin("limit rights", start)
    code = vm_map_protect(actor.vm, process_map(actor.vm, process), start, end, prot, True)
    require_code("limit of rights", start, code, KERN_SUCCESS)
    process.picture.protect(start, end, prot)
    actor.native.end()


def wire_what_is_not_there(actor: Actor, process: Process, start: int, end: int) -> None:
    """Wire a range of which the last pages have no contents (behind the end of a file).

    Nothing may be wired afterwards: so to unwire it is a mistake, too.
    """
    actor.native.begin("wire what is not there", start)
    vm, amap = actor.vm, process_map(actor.vm, process)
    code = vm_map_pageable(vm, amap, start, end, True)
    require_code("wiring beyond a file's end", start, code, KERN_PROTECTION_FAILURE)
    code = vm_map_pageable(vm, amap, start, end, False)
    require_code("unwiring of what is not wired", start, code, KERN_INVALID_ARGUMENT)
    actor.native.end()


def wire_a_hole(actor: Actor, process: Process, start: int, end: int) -> None:
    """Wire a range of which a part is not mapped."""
    actor.native.begin("wire a hole", start)
    code = vm_map_pageable(actor.vm, process_map(actor.vm, process), start, end, True)
    require_code("wiring of a hole", start, code, KERN_INVALID_ADDRESS)
    actor.native.end()


def sync_a_hole(actor: Actor, process: Process, start: int, end: int) -> None:
    """Sync a range of which a part is not mapped."""
    actor.native.begin("sync a hole", start)
    code, left = vm_map_clean(actor.vm, process_map(actor.vm, process), start, end, True, True)
    require_code("sync of a hole", start, code, KERN_INVALID_ADDRESS)
    require_code("pages left by a refused sync", start, left, 0)
    actor.native.end()


def sync_nothing(actor: Actor, process: Process, start: int, end: int) -> None:
    """Sync memory that was never touched: there is nothing to do, and that is no mistake."""
    actor.native.begin("sync nothing", start)
    code, left = vm_map_clean(actor.vm, process_map(actor.vm, process), start, end, True, True)
    require_code("sync of untouched memory", start, code, KERN_SUCCESS)
    require_code("pages left by a sync of nothing", start, left, 0)
    actor.native.end()
