"""Busy pages: owning one, waiting for one, giving it up.

The owner also *claims* the word that holds BUSY.  A sleeper's predicate lies at that
address, so a watcher can walk from the sleeper to the owner.  BUSY changes only inside
a queue-lock section: the one that dequeues the page sets it, the one that requeues it
clears it, so no thread meets a page that is neither busy nor where it belongs.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_BUSY, PG_WANTED
from vmcore.page.page import FLAGS_O, vm_page_free
from vmcore.page.page_flags import clear_flags_o, set_flags_o
from vmcore.page.page_queues import vm_page_activate
from vmcore.structs import VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def page_busy(vm: Vm, page: VmPage) -> None:
    """Become the owner of the page.

    Source: NetBSD vm/vm_page.h, the uses of PG_BUSY.
    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if page.flags_o & PG_BUSY:
        raise panic(f"page {page.slot} is busy already", page)
    set_flags_o(vm, page, PG_BUSY)
    vm.claim(page.address + FLAGS_O)


@contract
def page_wakeup(vm: Vm, page: VmPage) -> None:
    """Stop being the owner; the threads that waited may look again.

    Source: Mach vm/vm_page.h, PAGE_WAKEUP.
    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    clear_busy(vm, page)
    vm.unclaim(page.address + FLAGS_O)


@contract
def clear_busy(vm: Vm, page: VmPage) -> None:
    """The flag half of a wakeup, for a page whose claim its owner has handed over.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    flags = page.flags_o
    if not flags & PG_BUSY:
        raise panic(f"page {page.slot} is not busy", page)
    clear_flags_o(vm, page, PG_BUSY | PG_WANTED)
    if flags & PG_WANTED:
        page.chan.wakeup()  # all of them: WANTED does not say how many


@contract
def PAGE_ASSERT_WAIT(vm: Vm, page: VmPage) -> int:  # noqa: N802 - the historic macro's name
    """Say that we are going to wait for the page; the answer goes to ``thread_block``.

    The intent is a value, not a slot: letting go of locks, even sleeping for something
    else in between, does not lose it.

    Source: Mach vm/vm_page.h, PAGE_ASSERT_WAIT.
    Enter:  anything (the page's object is locked, the page is busy by another thread).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    set_flags_o(vm, page, PG_WANTED)
    intent: int = page.chan.intend()
    return intent


@contract
def thread_block(vm: Vm, page: VmPage, intent: int) -> None:
    """Sleep until the page was given up once since the intent; then look at everything again.

    Source: Mach kern/sched_prim.c, thread_block.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: yes (until the page's owner wakes us).
    """
    # BUSY is cleared, and the wakeup sent, under the queue lock.
    guard = vm.page_queue_lock.offset
    page.chan.block_until(intent, "thrd_block", until=(page, "flags_o", "clear", PG_BUSY), guard=guard)


@contract
def FREE_PAGE(vm: Vm, page: VmPage) -> None:  # noqa: N802 - the historic macro's name
    """Wake, then free: once the page is free, no thread will wake its waiters.

    Source: Mach vm/vm_fault.c, FREE_PAGE.
    Enter:  vm.page_queue_lock unlocked (the page's object is locked).
    Exit:   same.
    Takes:  page queues, page hash, free list, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm_page_free(vm, page)
    vm.page_queue_lock.release()


@contract
def RELEASE_PAGE(vm: Vm, page: VmPage) -> None:  # noqa: N802 - the historic macro's name
    """Wake, and put the page on the active queue (a wired one on none).

    Source: Mach vm/vm_fault.c, RELEASE_PAGE.
    Enter:  vm.page_queue_lock unlocked (the page's object is locked).
    Exit:   same.
    Takes:  page queues, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm_page_activate(vm, page)
    vm.page_queue_lock.release()
