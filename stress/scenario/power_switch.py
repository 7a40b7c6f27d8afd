"""The power switch: the machine goes down between two epochs, and comes up again for the next.

Down means that daemon and disk workers have left their loops, that no worker runs, and that every pager has
given its store back (``vm_object_shutdown``).  The services' processes stay and wait for the power, which
only a scenario that lays the switch down can cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ctypes import Structure, c_uint32
from typing import Any

from harness.locks.ranks import LockClass
from harness.shm.arena import Arena
from harness.shm.checked import unguarded
from harness.shm.layout import ChannelRecord, MutexRecord, guarded
from stress.oracles.at_rest import REST_S, InvariantViolated, Leak, Patience
from vmcore.page.vm_wait import stop_services
from vmcore.shutdown import vm_object_shutdown
from vmcore.vm import Vm

TABLE = "power"
POWER = LockClass("power", 5)  # before every lock of the VM; never held across an operation
ROOM = 4096  # arena bytes


class PowerRow(Structure):
    """The one record of the switch."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "lock_", MutexRecord, "guards off"),
        ("=", "chan_", ChannelRecord, "services wait here for the power"),
        ("p", "off", c_uint32, "1: services are not to start their loops"),
        ("p", "cuts", c_uint32, "times it was cut: a service that leaves its loop late still sees it"),
    )


def lay_down_switch(arena: Arena) -> Any:
    """The record; made when it is not there yet."""
    ids = {"lock_": POWER.declare(arena)}
    return arena.table(TABLE, PowerRow, 1, classes=ids)[1]


def serve(vm: Vm, loop: Callable[[Vm], None]) -> None:
    """A service: its loop, and again after every time without power."""
    seen: int | None = cuts(vm)
    while seen is not None:
        loop(vm)
        seen = comes_back(vm, seen)


def cuts(vm: Vm) -> int:
    """How often the power has been cut."""
    if vm.arena.entry(TABLE) is None:
        return 0
    row = lay_down_switch(vm.arena)
    row.lock.acquire()
    number = int(row.cuts)
    row.lock.release()
    return number


def comes_back(vm: Vm, seen: int) -> int | None:
    """Wait for the power and return the number of cuts; None: no new one, the loop has ended for good.

    ``seen``: the number before the loop.  The power may be back before a service looks: between the loop's
    last step and this one it may be kept waiting for a processor.
    """
    if vm.arena.entry(TABLE) is None:
        return None
    row = lay_down_switch(vm.arena)
    row.lock.acquire()
    cut = row.off or row.cuts != seen
    row.lock.release()
    if not cut:
        return None
    vm.point("without power")  # from here on it comes back, however soon the power does
    row.lock.acquire()
    while row.off:
        row.chan.sleep(row.lock, "power", until=(row, "off", 0), idle=True)
        row.lock.acquire()
    number = int(row.cuts)
    row.lock.release()
    return number


def switch(arena: Arena, off: int) -> None:
    """Turn the switch."""
    row = lay_down_switch(arena)
    row.lock.acquire()
    row.off = off
    row.cuts += off
    if not off:
        row.chan.wakeup()
    row.lock.release()


def power_cut(vm: Vm) -> int:
    """Go down; how many pagers went.  All workers are parked, and the daemon rests.

    Errors: InvariantViolated when the services do not leave, Leak when some store is still taken.
    """
    switch(vm.arena, 1)
    stop_services(vm)
    with unguarded():
        await_services(vm)
    gone = vm_object_shutdown(vm)
    with unguarded():
        left, used = vm.pagers.in_use(), int(vm.g.swap_used)
    if left or used:
        raise Leak([f"after the shutdown there are {left} pagers, and {used} pages of swap are taken"])
    return gone


def await_services(vm: Vm, limit: float = REST_S) -> None:
    """Until no daemon is left, or they have had too long for it."""
    patience = Patience(vm, limit)
    while vm.g.daemons:
        if patience.is_over():
            raise InvariantViolated([f"{vm.g.daemons} daemons do not leave"])
        time.sleep(0.001)


def power_on(vm: Vm) -> None:
    """Come up again: services go on where they were."""
    with unguarded():
        vm.g.daemon_stop = vm.g.no_memory = 0
    switch(vm.arena, 0)
