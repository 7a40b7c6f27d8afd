"""Looking into the address space of another process, as ps and debuggers do.

A process that only looks is counted like a user: the last user may leave meanwhile, and a thread
that waits for the lock of a map that goes would then lock a free record.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.map.map_clip import entries_between
from vmcore.space.vmspace import space_map, vmspace_free, vmspace_share
from vmcore.structs import VmMap, Vmspace
from vmcore.vm import Vm


@contract
def vmspace_hold(vm: Vm, space: Vmspace) -> None:
    """Keep a space that has a user now, until ``vmspace_let_go``.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vmspace.
    Sleeps: never.
    """
    vmspace_share(vm, space)


@contract
def vmspace_size(vm: Vm, space: Vmspace) -> int:
    """Bytes that are mapped in a space that the caller holds.

    Source: 4.4BSD kern/kern_sysctl.c, fill_eproc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  map, map hint.
    Sleeps: yes (map lock).
    """
    map: VmMap = space_map(vm, space)
    map.lock.read()
    size = map_size(vm, map)
    map.lock.release()
    return size


@contract
def map_size(vm: Vm, map: VmMap) -> int:
    """Bytes that are mapped.

    Enter:  map locked.
    Exit:   same.
    Takes:  map hint.
    Sleeps: never.
    """
    entries = entries_between(vm, map, map.min_offset, map.max_offset)
    return sum(int(entry.end - entry.start) for entry in entries)


@contract
def vmspace_let_go(vm: Vm, space: Vmspace) -> None:
    """The look is over; if all users have left meanwhile, the space goes now.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    vmspace_free(vm, space)
