"""mlock and munlock of a recorded program, as Linux means them.

There a range is locked or not, however often it was asked for; a lock may cover holes of
what other threads have unmapped meanwhile; and ours may be the smaller machine.  So a
range is wired once, what cannot be wired stays as it is, and unlocking ends every wiring.
"""

from stress.ops.core import Actor, Process, process_map
from stress.oracles.at_rest import require_done
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
)
from vmcore.map.map_clip import entries_between
from vmcore.space.mlock import vm_map_pageable
from vmcore.structs import VmMap
from vmcore.vm import Vm

LEFT_UNLOCKED = (KERN_SUCCESS, KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE, KERN_RESOURCE_SHORTAGE)
LEFT_ALREADY = (KERN_SUCCESS, KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT)


def parts(vm: Vm, map: VmMap, start: int, end: int, wired: bool) -> list[tuple[int, int]]:
    """The parts of [start, end) that are wired, or the mapped ones that are not; end 0: everything."""
    if not end:
        start, end = map.min_offset, map.max_offset
    with map.lock.reading():
        return [
            (max(entry.start, start), min(entry.end, end))
            for entry in entries_between(vm, map, start, end)
            if bool(entry.wired_count) == wired
        ]


def lock(actor: Actor, process: Process, start: int, end: int) -> None:
    """mlock, or mlockall when end is 0."""
    vm, amap = actor.vm, process_map(actor.vm, process)
    actor.native.begin("lock", start)
    for low, high in parts(vm, amap, start, end, False):
        code = vm_map_pageable(vm, amap, low, high, True)
        if code not in LEFT_UNLOCKED:
            require_done("lock", low, code)
    actor.native.end()


def unlock(actor: Actor, process: Process, start: int, end: int) -> list[tuple[int, int]]:
    """munlock, or munlockall when end is 0; the parts that were wired."""
    vm, amap = actor.vm, process_map(actor.vm, process)
    actor.native.begin("unlock", start)
    found = wired = parts(vm, amap, start, end, True)
    while wired:  # again, because two threads may each have wired a part
        for low, high in wired:
            code = vm_map_pageable(vm, amap, low, high, False)
            if code not in LEFT_ALREADY:
                require_done("unlock", low, code)
        wired = parts(vm, amap, start, end, True)
    actor.native.end()
    return found
