"""The records of asynchronous page-outs: free or in use, and the pages that each stands for.

A record stands for a run of pages and one share of a paging count.  Its first page is
named in the record, the others in rows of their own, so that a watcher finds every BUSY
page that the record owns.  The rows have fixed places: only records can run out.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.config import MAX_CLUSTER
from vmcore.constants import SPC_FREE
from vmcore.structs import PendingClean, PendingPage, VmPage
from vmcore.vm import Vm


@contract
def take_record(vm: Vm) -> PendingClean | None:
    """A free record, or None when all are in use.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list.
    Sleeps: never.
    """
    g = vm.g
    vm.io_list_lock.acquire()
    slot = g.spc_free_first
    record = vm.pending.views[slot] if slot else None
    if record is not None:
        g.spc_free_first = record.next
    vm.io_list_lock.release()
    return record


@contract
def free_record(vm: Vm, record: PendingClean) -> None:
    """Put a record that is on no list back on the free list.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list.
    Sleeps: never.
    """
    vm.io_list_lock.acquire()
    for row in rows_of(vm, record):
        row.busy_address = 0
    set_state(vm, record, SPC_FREE)
    record.busy_address = record.pip_address = 0
    record.count = 0
    record.next = vm.g.spc_free_first
    vm.g.spc_free_first = record.slot
    vm.io_list_lock.release()


def rows_of(vm: Vm, record: PendingClean) -> list[PendingPage]:
    """The rows of the run's pages beyond the first; each record has its own place in the table."""
    at = (record.slot - 1) * (MAX_CLUSTER - 1) + 1
    return [vm.pending_pages.views[at + i] for i in range(record.count - 1)]


def pages_of(vm: Vm, record: PendingClean) -> list[VmPage]:
    """The pages of the run, lowest offset first."""
    views = vm.pages.views
    return [views[record.page], *(views[row.page] for row in rows_of(vm, record))]


def set_state(vm: Vm, record: PendingClean, state: int) -> None:
    """The record's state, and the same for each of its rows; I/O list lock held."""
    record.state = state
    for row in rows_of(vm, record):
        row.state = state


def enqueue(vm: Vm, record: PendingClean) -> None:
    """The record is the newest that waits for a disk worker; I/O list lock held."""
    record.next = vm.g.inuse_first
    vm.g.inuse_first = record.slot
    vm.g.writes_queued += 1


def unlink(vm: Vm, record: PendingClean) -> None:
    """Off the in-use list; I/O list lock held."""
    g, views = vm.g, vm.pending.views
    if g.inuse_first == record.slot:
        g.inuse_first = record.next
        return
    slot = g.inuse_first
    while views[slot].next != record.slot:
        slot = views[slot].next
    views[slot].next = record.next


def oldest(vm: Vm, states: tuple[int, ...]) -> PendingClean | None:
    """The record in one of these states that was queued first; I/O list lock held."""
    found, views = None, vm.pending.views
    slot = vm.g.inuse_first
    while slot:  # the list is newest first, and short
        record = views[slot]
        if record.state in states:
            found = record
        slot = record.next
    return found
