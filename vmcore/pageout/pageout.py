"""The page-out daemon: keeps frames free, and knows when that is impossible.

A round is: recompute the targets, reap finished writes, scan if memory is short, reap
again; then, under the pages-needed lock, decide about the threads that wait for memory.  The
daemon never waits for memory and never for another thread's paging: those wait for the daemon.
"""

from __future__ import annotations

import time

from harness.locks.contract import contract
from vmcore.constants import (
    OBJ_DYING,
    PG_BUSY,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    VM_PAGER_AGAIN,
    VM_PAGER_OK,
    VM_PAGER_PEND,
    VM_PROT_NONE,
)
from vmcore.page.page import vm_page_free
from vmcore.page.page_flags import clear_flags_o, set_flags_p
from vmcore.page.page_queues import vm_page_activate, vm_page_deactivate
from vmcore.page.vm_wait import VM_WAIT, stop_services, wake_daemon, wake_memory_waiters
from vmcore.pageout.pageout_page import pageout_page
from vmcore.pager.swap_io import reap
from vmcore.pmap.pmap import pmap_is_modified, pmap_is_referenced, pmap_page_protect
from vmcore.structs import VmPage
from vmcore.vm import Vm

__all__ = ["VM_WAIT", "wake_daemon", "stop_services", "vm_pageout_loop", "vm_pageout_scan"]

# A fault may own two new frames at once: its placeholder, and the page that it reads in below (or
# pushes).  To wake it for one only would make it retry for ever: it takes the one, lacks the other,
# gives the first back, waits, and is told again that there is memory.
FAULT_NEEDS = 2
FRUITLESS_LIMIT = 8  # rounds in a row that changed nothing: everything was looked at, twice
TRANSIT_LIMIT = 64  # the same while another thread owns frames that it may yet give back
BACK_OFF_S = 0.0005  # after the first fruitless round; doubles up to the next line
LONGEST_BACK_OFF_S = 0.05
AGAIN_S = 0.05  # the pager was short of something; a poke ends it

# What became of one inactive page.
SKIPPED = 0  # being washed, or owned by another thread
MOVED = 1  # activated, or found to be dirty
FREED = 2
STARTED = 3  # its write is in flight
WRITTEN = 4  # its write is done: the next scan can free it
MISSED = 5  # another thread holds its object: look again
FAILED = 6  # could not be written now
AGAIN = 7  # the pager is short of something
FATE_OF_WRITE = {VM_PAGER_OK: WRITTEN, VM_PAGER_PEND: STARTED, VM_PAGER_AGAIN: AGAIN}
DROPPED_THE_LOCK = (STARTED, WRITTEN, FAILED)


@contract
def vm_pageout_loop(vm: Vm) -> None:
    """The daemon: round after round, until the VM is stopped.

    Source: Mach vm/vm_pageout.c, vm_pageout.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (without work).
    """
    vm.me.is_daemon = True
    count_daemon(vm, 1)
    try:
        while await_wakeup(vm):
            while pageout_round(vm):
                pass
    finally:
        vm.me.is_daemon = False
        if not vm.native.depth():  # a failure with locks held says enough: no second one about those
            count_daemon(vm, -1)


@contract
def count_daemon(vm: Vm, change: int) -> None:
    """Say that one more, or one less, may queue writes; disk workers leave after the last.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  I/O list, channel.
    Sleeps: never.
    """
    vm.io_list_lock.acquire()
    vm.g.daemons += change
    vm.disk_chan.wakeup()
    vm.io_list_lock.release()


@contract
def await_wakeup(vm: Vm) -> bool:
    """Sleep until another thread pokes, and take the poke; False: the VM is stopped.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  pages needed, channel.
    Sleeps: yes (idle).
    """
    g, lock = vm.g, vm.pages_needed_lock
    lock.acquire()
    while not g.pages_needed and not g.daemon_stop:
        vm.daemon_chan.sleep(lock, "thrd_sleep", until=(g, "pages_needed", "!=", 0), idle=True)
        lock.acquire()
    g.pages_needed = 0
    stop = g.daemon_stop
    lock.release()
    return not stop


@contract
def pageout_round(vm: Vm) -> bool:
    """Reap, scan, reap, decide; True: the next round follows at once.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (while it writes files; between fruitless rounds).
    """
    retarget(vm)
    fruitful, missed = reap(vm, True) > 0, False
    g = vm.g
    if g.v_free_count < g.v_free_target or g.v_inactive_count < g.v_inactive_target:
        changed, missed = vm_pageout_scan(vm)
        fruitful = fruitful or changed
    fruitful = reap(vm, True) > 0 or fruitful
    return decide(vm, fruitful, missed)


def retarget(vm: Vm) -> None:
    """How long the inactive queue should be; the counts are read as hints."""
    g = vm.g
    g.v_inactive_target = max((g.v_active_count + g.v_inactive_count) // 3, g.v_free_target + 1)


@contract
def decide(vm: Vm, fruitful: bool, missed: bool) -> bool:
    """Wake the memory waiters if there is memory; True: look again although no thread poked.

    With waiters and no write in flight we may not sleep, because no thread would wake us.
    With a write in flight we may: when it is finished its worker pokes.  A write that is
    finished just after we looked has poked *before* we can sleep, under this lock.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  pages needed, channel.
    Sleeps: yes (shortly, between fruitless rounds).
    """
    g, lock = vm.g, vm.pages_needed_lock
    lock.acquire()
    if g.v_free_count >= g.v_free_reserved + FAULT_NEEDS:
        g.fruitless = 0
        if g.memory_waiters:
            wake_memory_waiters(vm, no_memory=False)
    elif g.memory_waiters and not g.writes_in_flight and not g.daemon_stop:
        if not fruitful:
            return give_up_or_back_off(vm, missed)
        g.fruitless = 0
        lock.release()
        return True
    lock.release()
    return False


@contract
def give_up_or_back_off(vm: Vm, missed: bool) -> bool:
    """A fruitless round with waiters: after enough of them in a row, say that there is no memory.

    A round is fruitful if it freed a page, or if a write has *succeeded*.  One that only
    began does not count: on a disk that fails every write it would begin for ever.  A
    round that missed a page because its object was locked proves nothing either way.
    Frames in transit (busy in a fault, say during a slow page-in) will be queued
    again, so they earn patience, but not for ever: they may also have been lost.

    Enter:  vm.pages_needed_lock locked.
    Exit:   vm.pages_needed_lock unlocked.
    Takes:  pages needed, channel.
    Sleeps: yes (shortly).
    """
    g, lock = vm.g, vm.pages_needed_lock
    rounds = g.fruitless
    if not missed:
        g.fruitless = rounds + 1
    if rounds >= (TRANSIT_LIMIT if frames_in_transit(vm) else FRUITLESS_LIMIT):
        g.fruitless = 0
        wake_memory_waiters(vm, no_memory=True)
        lock.release()
        return False
    lock.release()
    # Pokes do not end this pause: with no write in flight they only say that one more thread
    # waits, and many waiters must not bring us to the limit sooner.
    time.sleep(min(BACK_OFF_S * 2 ** min(rounds, 10), LONGEST_BACK_OFF_S))
    return True


def frames_in_transit(vm: Vm) -> bool:
    """Is some frame neither free nor queued nor wired?  The counts are read as hints."""
    g = vm.g
    settled = g.v_free_count + g.v_active_count + g.v_inactive_count + g.v_wire_count
    return bool(settled < vm.config.pages)


@contract
def nap(vm: Vm, seconds: float) -> None:
    """Sleep a moment or until poked, and take the poke: what follows is a new look.

    Enter:  vm.pages_needed_lock locked.
    Exit:   vm.pages_needed_lock unlocked.
    Takes:  pages needed, channel.
    Sleeps: yes (shortly).
    """
    g, lock = vm.g, vm.pages_needed_lock
    if not g.pages_needed:
        vm.daemon_chan.sleep(lock, "pageout", until=(g, "pages_needed", "!=", 0), timeout=seconds, idle=True)
        lock.acquire()
    g.pages_needed = 0
    lock.release()


# --- the scan


@contract
def vm_pageout_scan(vm: Vm) -> tuple[bool, bool]:
    """Free clean inactive pages, start writing dirty ones, refill the queue.

    Returns whether it freed or wrote anything, and whether it missed a page because
    another thread held its object.

    Source: Mach vm/vm_pageout.c, vm_pageout_scan.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (files' writes; the pager's shortage).
    """
    g, views, stats = vm.g, vm.pages.views, vm.me.stats
    stats.v_rev += 1
    fates: set[int] = set()
    vm.page_queue_lock.acquire()
    slot = g.inactive_first
    while slot and g.v_free_count < g.v_free_target:
        page = views[slot]
        following = page.pageq_next
        stats.v_scan += 1
        fate = scan_page(vm, page)
        fates.add(fate)
        if fate == AGAIN:
            vm.page_queue_lock.release()
            progress = wait_for_pager(vm)
            vm.page_queue_lock.acquire()
            if not progress:
                break
            following = g.inactive_first
        elif fate in DROPPED_THE_LOCK:
            following = still_next(vm, following)
        slot = following
    refill_inactive(vm, FREED in fates)
    vm.page_queue_lock.release()
    return not fates.isdisjoint((FREED, WRITTEN)), MISSED in fates


@contract
def still_next(vm: Vm, following: int) -> int:
    """A write dropped the lock: what followed may be anywhere by now; then the scan starts over.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if following and not vm.pages.views[following].flags_p & PG_INACTIVE:
        return int(vm.g.inactive_first)
    return following


@contract
def scan_page(vm: Vm, page: VmPage) -> int:
    """Decide about one inactive page by its flags; they are hints until its object is locked.

    Enter:  vm.page_queue_lock locked.
    Exit:   vm.page_queue_lock locked, dropped in between.
    Takes:  any.
    Sleeps: yes (a file's write).
    """
    flags = page.flags_o
    if is_owned(vm, page) or not (flags & PG_CLEAN or page.flags_p & PG_LAUNDRY):
        return SKIPPED  # before the reference test: activating it would queue a busy page
    if pmap_is_referenced(vm, page):
        vm_page_activate(vm, page)
        vm.me.stats.v_reactivated += 1
        return MOVED
    object = vm.objects(page.object)
    if not object.lock.try_acquire():  # against the order, so only a try
        vm.native.failure()
        return MISSED
    flags = page.flags_o
    if is_owned(vm, page) or object.flags & OBJ_DYING:
        object.lock.release()
        return SKIPPED
    if flags & PG_CLEAN:
        fate = free_clean_page(vm, page)
        object.lock.release()
        return fate
    if not page.flags_p & PG_LAUNDRY:
        object.lock.release()
        return SKIPPED
    result = pageout_page(vm, page, object)  # consumes the object's lock
    return FATE_OF_WRITE.get(result, FAILED)


@contract
def is_owned(vm: Vm, page: VmPage) -> bool:  # noqa: ARG001
    """Is the page being filled, copied or written?

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return bool(page.flags_o & PG_BUSY)


@contract
def free_clean_page(vm: Vm, page: VmPage) -> int:
    """Free the page if it is still clean once no thread can write to it any more.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  pv, pmap, pool, page hash, free list.
    Sleeps: never.
    """
    if unmap_and_test(vm, page):
        clear_flags_o(vm, page, PG_CLEAN)
        set_flags_p(vm, page, PG_LAUNDRY)
        return MOVED
    vm_page_free(vm, page)
    vm.me.stats.v_dfree += 1
    return FREED


@contract
def unmap_and_test(vm: Vm, page: VmPage) -> bool:
    """Take every mapping away, then say whether there was a store.

    In this order: a store between a test and the unmapping would be lost with the page.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    pmap_page_protect(vm, page, VM_PROT_NONE)
    return pmap_is_modified(vm, page)


@contract
def refill_inactive(vm: Vm, freed: bool) -> None:
    """Move pages from the head of active until inactive is long enough; at least one if nothing was freed.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    g, views = vm.g, vm.pages.views
    shortage = g.v_inactive_target - g.v_inactive_count
    if shortage <= 0 and not freed:
        shortage = 1
    while shortage > 0 and g.active_first:
        vm_page_deactivate(vm, views[g.active_first])
        shortage -= 1


@contract
def wait_for_pager(vm: Vm) -> bool:
    """The pager was short of a record or a frame: reap, sleep until poked; False: nothing will change.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (pageout, shortly).
    """
    if reap(vm, True):
        return True
    vm.pages_needed_lock.acquire()
    in_flight, stop = vm.g.writes_in_flight, vm.g.daemon_stop
    nap(vm, AGAIN_S)
    return (reap(vm, True) > 0 or in_flight > 0) and not stop
