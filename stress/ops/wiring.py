"""Steps: wiring memory, and giving it up."""

from __future__ import annotations

from stress.ops.core import Actor, Process, process_map
from stress.oracles.at_rest import require_done
from vmcore.constants import KERN_RESOURCE_SHORTAGE
from vmcore.space.mlock import vm_map_pageable


def wire(actor: Actor, process: Process, start: int, end: int) -> bool:
    """mlock: every page of [start, end) resident until it is unwired; False: too much is wired already."""
    actor.native.begin("wire", start)
    code = vm_map_pageable(actor.vm, process_map(actor.vm, process), start, end, True)
    if code != KERN_RESOURCE_SHORTAGE:
        require_done("wire", start, code)
    actor.native.end()
    return code != KERN_RESOURCE_SHORTAGE


def unwire(actor: Actor, process: Process, start: int, end: int) -> None:
    """Give up the wiring of exactly what was wired."""
    actor.native.begin("unwire", start)
    require_done(
        "unwire", start, vm_map_pageable(actor.vm, process_map(actor.vm, process), start, end, False)
    )
    actor.native.end()
