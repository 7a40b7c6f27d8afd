"""The swap map: which pages of the swap file are taken, and by which block.

First fit over one byte per page, searched in a copy of the map: a few KiB, microseconds.
Beside it lies the slot of the SwapBlock that owns each page: giving back what is another
block's is an error at the call, not a page of wrong data an hour later.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.vm import Vm


@contract
def swap_map_alloc(vm: Vm, pages: int, owner: int) -> int:
    """First page of a free run for SwapBlock slot ``owner``; 0 when there is none.

    Source: 4.3BSD sys/subr_rmap.c, rmalloc.
    Enter:  vm.swap_map_lock unlocked.
    Exit:   same.
    Takes:  swap map.
    Sleeps: never.
    """
    vm.swap_map_lock.acquire()
    first = bytes(vm.swap_map).find(bytes(pages))
    if first < 0:
        vm.swap_map_lock.release()
        return 0
    vm.swap_map[first : first + pages] = b"\1" * pages
    owners = vm.swap_owners
    for page in range(first, first + pages):
        owners[page] = owner
    vm.g.swap_used += pages
    vm.swap_map_lock.release()
    return first


@contract
def swap_map_free(vm: Vm, first: int, pages: int, owner: int) -> None:
    """Give a run back; every page of it must belong to SwapBlock slot ``owner``.

    Source: 4.3BSD sys/subr_rmap.c, rmfree.
    Enter:  vm.swap_map_lock unlocked.
    Exit:   same.
    Takes:  swap map.
    Sleeps: never.
    """
    owners = vm.swap_owners
    vm.swap_map_lock.acquire()
    strangers = [page for page in range(first, first + pages) if owners[page] != owner]
    if strangers:
        page, whose = strangers[0], owners[strangers[0]]
        vm.swap_map_lock.release()
        raise Panic(f"swap page {page} is given back by block {owner}, it belongs to block {whose}")
    for page in range(first, first + pages):
        owners[page] = 0
    vm.swap_map[first : first + pages] = bytes(pages)
    vm.g.swap_used -= pages
    vm.swap_map_lock.release()
