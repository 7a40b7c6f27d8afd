"""The list of named swap pagers, and how a pager leaves it.

A file of its own below the pagers: parting with a pager needs the list, and finding the
object of one (pager_named.py) needs the object cache, which needs parting with pagers.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.structs import Pager
from vmcore.vm import Vm


def find_named(vm: Vm, name: int) -> Pager | None:
    """The pager of this name; handle lock held."""
    views, slot = vm.pagers.views, vm.g.named_first
    while slot:
        pager: Pager = views[slot]
        if pager.pg_handle == name:
            return pager
        slot = pager.named_next
    return None


@contract
def enter_named(vm: Vm, pager: Pager) -> None:
    """Put a pager on the list; from now on its name leads to it.

    Enter:  vm.handle_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    pager.named_next, pager.is_named = vm.g.named_first, 1
    vm.g.named_first = pager.slot


@contract
def leave_named(vm: Vm, pager: Pager) -> None:
    """Take a dying pager off the list, and wake the threads that met it there: the name is free again.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_dealloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  handle, channel.
    Sleeps: yes (the handle lock).
    """
    vm.handle_lock.acquire()
    views, slot = vm.pagers.views, vm.g.named_first
    if slot == pager.slot:
        vm.g.named_first = pager.named_next
    else:
        while slot and views[slot].named_next != pager.slot:
            slot = views[slot].named_next
        if not slot:
            raise Panic(f"pager {pager.slot} has the name {pager.pg_handle}, but is not on the list")
        views[slot].named_next = pager.named_next
    pager.named_next = pager.is_named = 0
    vm.named_chan.wakeup()
    vm.handle_lock.release()
