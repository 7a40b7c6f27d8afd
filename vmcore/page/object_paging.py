"""paging_in_progress: begin, end, and the wait for zero.

A count above zero says "a thread or a queued write owns busy pages of this object, or has pager
traffic for it".  It holds off collapse, termination and bulk cleaning.  The one rule that
history broke again and again: *the thread that takes it to zero wakes every thread that waits for
zero*.  So only these functions change the count, and the reaper of writes (swap_io.py).

Each owner also claims the word ``paging_in_progress``: a sleeper's predicate lies at
that address, so a watcher can walk from the sleeper to the thread it waits for.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_DRAINING, OBJ_DYING, OBJ_WAITING
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic

PIP_OFFSET: int = VmObject.paging_in_progress.offset
PIP_LIMIT = 65535  # the historic counter had 16 bits; beyond it a function forgot to end


@contract
def vm_object_paging_begin(vm: Vm, object: VmObject, terminating: bool = False) -> None:
    """Own one share of the object's paging count.

    Source: NetBSD vm/vm_object.h, vm_object_paging_begin.
    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    count = object.paging_in_progress + 1
    if count > PIP_LIMIT:
        raise panic(f"paging count of object {object.slot} overflows", object)
    if object.flags & OBJ_DYING and not terminating:
        raise panic(f"paging begins on dying object {object.slot}", object)
    object.paging_in_progress = count
    vm.claim(object.address + PIP_OFFSET)


@contract
def vm_object_paging_end(vm: Vm, object: VmObject) -> None:
    """Give one share back; at zero, wake the threads that wait for zero, at any count those that wait
    for a turn.

    Source: NetBSD vm/vm_object.h, vm_object_paging_end.
    Enter:  object locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    count = object.paging_in_progress
    if count == 0:
        raise panic(f"paging count of object {object.slot} underflows", object)
    object.paging_in_progress = count - 1
    vm.unclaim(object.address + PIP_OFFSET)
    if object.flags & OBJ_WAITING:
        tell_paging_waiters(vm, object, count)


def tell_paging_waiters(vm: Vm, object: VmObject, count: int) -> None:
    """Of ``count`` shares one was given back (object locked): wake the threads that wait for that."""
    if count == 1 or object.flags & OBJ_DRAINING:
        object.flags &= ~OBJ_DRAINING
        wake_paging_waiters(vm, object)


@contract
def wake_paging_waiters(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """The count is zero, or lower than it was: wake all, because WAITING does not say how many there are.

    Enter:  object locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    object.flags &= ~OBJ_WAITING
    object.chan.wakeup()


@contract
def vm_object_paging_sleep(vm: Vm, object: VmObject, wmesg: str) -> None:  # noqa: ARG001
    """Sleep until the count was zero once (or, with DRAINING, lower once); it need not be when we return.

    Enter:  object locked.
    Exit:   object unlocked.
    Takes:  channel.
    Sleeps: yes (that is its purpose).
    """
    object.flags |= OBJ_WAITING
    object.chan.sleep(object.lock, wmesg, until=(object, "paging_in_progress", 0))


@contract
def vm_object_paging_wait(vm: Vm, object: VmObject, wmesg: str = "vospgw") -> None:
    """Wait until the object's paging count is zero.

    Source: NetBSD vm/vm_object.h, vm_object_paging_wait.
    Enter:  object locked (kept alive by a reference of the caller, or by the caller's termination of it).
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (until the last owner of the count ends).
    """
    while object.paging_in_progress:
        vm_object_paging_sleep(vm, object, wmesg)
        object.lock.acquire()


@contract
def vm_object_paging_turn(vm: Vm, object: VmObject, wmesg: str) -> None:
    """Wait until one share of the paging count is given back; not at all when the count is zero.

    For those that need not see the object idle, and could wait for ever: where many processes page, one
    begins before the last has ended, and the count never comes to zero.

    Enter:  object locked (kept alive by a reference of the caller).
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (until one owner of the count ends).
    """
    if object.paging_in_progress:
        object.flags |= OBJ_DRAINING
        vm_object_paging_sleep(vm, object, wmesg)
        object.lock.acquire()
