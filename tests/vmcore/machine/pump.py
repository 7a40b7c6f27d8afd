"""The services of a VM as one thread that is led: they work exactly when an operation would sleep.

The thread of the operations waits meanwhile, so an example of the machine runs the same way every
time.  Where R would sleep, the disk writes what is queued, its pages are reaped, and the
sleeper looks again.  If what it waits for has not come then, it never will:
``Stuck``.  A thread of its own, because locks, claims and contracts belong to threads.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tests.waiting import LIMIT_S, join
from vmcore.constants import OBJ_WAITING, PG_BUSY
from vmcore.pageout.pageout import FAULT_NEEDS, retarget, vm_pageout_scan
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm

FRUITLESS = 6  # rounds that found nothing to free: everything was looked at more than twice
MOST_WAITS = 500  # of one step; the longest need a few dozen


class Stuck(AssertionError):
    """An operation sleeps, and the services have nothing left to do that would wake it."""


def finish(vm: Vm) -> int:
    """Write what is queued, give the pages back; how many writes ended well."""
    while vm.g.writes_queued:
        record = next_write(vm)
        assert record is not None
        write_record(vm, record)
    return reap(vm, True)


def one_round(vm: Vm) -> bool:
    """One round of the page-out daemon with the disk's answer; was it any use?"""
    retarget(vm)
    written = finish(vm)
    changed, _ = vm_pageout_scan(vm)
    return bool(finish(vm) + written) or changed


def make_room(vm: Vm) -> bool:
    """Rounds of the daemon until a frame may be taken; False when they are of no use."""
    fruitless = 0
    while fruitless < FRUITLESS:
        fruitless = 0 if one_round(vm) else fruitless + 1
        if vm.g.v_free_count >= vm.g.v_free_reserved + FAULT_NEEDS:
            return True
    return False


def at_rest(vm: Vm) -> bool:
    """Is no write under way?"""
    return not vm.g.inuse_first and not vm.g.writes_in_flight


class Services:
    """Daemon and disk of the VMs of a rig; what stands in the place of the sleeps."""

    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[Callable[[Vm], Any], Vm] | None] = SimpleQueue()
        self.answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.thread = Thread(target=self.live, name="services")
        self.thread.start()
        self.waits = 0  # of the operation that is under way

    def live(self) -> None:
        """The thread."""
        for todo, vm in iter(self.work.get, None):  # for as long as there is a rig
            try:
                vm.me.is_daemon = True
                answer, error = todo(vm), None
            except BaseException as caught:  # noqa: BLE001 - the thread that waits for us raises it
                answer, error = None, caught
            self.answers.put((answer, error))

    def do(self, todo: Callable[[Vm], Any], vm: Vm) -> Any:
        """Let them do this, and wait."""
        self.waits += 1
        if self.waits > MOST_WAITS:
            raise Stuck(f"{MOST_WAITS} waits in one step: what is waited for comes, and is of no use")
        self.work.put((todo, vm))
        answer, error = self.answers.get(timeout=LIMIT_S)
        if error is not None:
            raise error
        return answer

    def stop(self) -> None:
        """The end of the thread."""
        self.work.put(None)
        join(self.thread)

    # --- in the place of the sleeps.  What they lock is the services' business.

    def wait_for_memory(self, vm: Vm) -> bool:
        """VM_WAIT."""
        return bool(self.do(make_room, vm))

    def wait_for_page(self, vm: Vm, page: VmPage, intent: int) -> None:  # noqa: ARG002
        """thread_block: only an asynchronous write can own the page."""
        self.do(finish, vm)
        if page.flags_o & PG_BUSY:
            raise Stuck(f"page {page.slot} is busy, and no write of it is under way")

    def wait_for_paging(self, vm: Vm, object: VmObject, wmesg: str) -> None:
        """The sleep of vm_object_paging_wait and of page_clean."""
        object.flags |= OBJ_WAITING
        object.lock.release()
        self.do(finish, vm)
        if object.paging_in_progress:
            raise Stuck(f"{wmesg}: object {object.slot} has paging_in_progress {object.paging_in_progress}")

    def wait_for_records(self, vm: Vm, object: VmObject) -> None:
        """page_clean's back-off: the pager lacks records or frames."""
        object.lock.release()
        if not self.do(finish, vm) and not self.do(make_room, vm):
            raise Stuck(f"page_clean of object {object.slot} waits for a pager that lacks nothing")
        object.lock.acquire()

    def wait_for_pager(self, vm: Vm) -> bool:
        """The daemon's own wait for a record or a frame: this is its thread."""
        return finish(vm) > 0

    def sleeps(self) -> dict[str, Callable[..., Any]]:
        """Replaced steps, for boot; each keeps the contract of the one that it stands for."""
        return {
            "vm_wait.VM_WAIT": self.wait_for_memory,
            "page_wait.thread_block": self.wait_for_page,
            "object_paging.vm_object_paging_sleep": self.wait_for_paging,
            "pageout.wait_for_pager": self.wait_for_pager,
            "object_pages.back_off": self.wait_for_records,
        }
