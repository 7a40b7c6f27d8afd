"""Small VMs, pages in known states, the services of a VM as real processes, and leak checks.

Shared by all of tests/vmcore; worlds made of maps and chains are in builders_objects.py.
"""

import ctypes
import os
import select
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.locks import contract
from harness.locks.reports import reports as arena_reports
from harness.shm.arena import Arena
from harness.shm.checked import unguarded
from harness.shm.native import Seat
from tests.waiting import reap
from vmcore.boot import arena_size, boot
from vmcore.config import Config
from vmcore.constants import (
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_FAKE,
    PG_FREE,
    PG_INACTIVE,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
    VM_PROT_NONE,
)
from vmcore.object.object import vm_object_allocate
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import frame_alloc, vm_page_alloc, vm_page_free, vm_page_lookup, vm_page_zero_fill
from vmcore.page.page_queues import page_dequeue
from vmcore.page.page_wait import FREE_PAGE, PAGE_ASSERT_WAIT, RELEASE_PAGE, page_busy, thread_block
from vmcore.page.vm_wait import VM_WAIT, stop_services
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.pager import vm_pager_get_pages
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.pmap.pmap import pmap_clear_modify, pmap_create, pmap_page_protect
from vmcore.structs import Pmap, VmObject, VmPage
from vmcore.vm import Vm

LIMIT_S = 240.0  # of members that have seconds of work to do, also on a crowded machine
PR_SET_PDEATHSIG = 1
SMALL = {
    "pages": 128, "objects": 256, "entries": 512, "maps": 64, "sharing_maps": 64, "pmaps": 64,
    "mappings": 2048, "vmspaces": 64, "pagers": 128, "swap_blocks": 512, "swap_pages": 2048, "vnodes": 8,
}  # fmt: skip
REPORTS_ALLOWED: set[int] = set()  # id of a Vm whose test provokes the lock checker


# --- a VM


def make_vm(**sizes: Any) -> Vm:
    """A small VM with contracts on; keywords replace fields of its Config."""
    config = Config(**{**SMALL, **sizes})
    arena = Arena.create("test", size=arena_size(config, seats=24), seats=24)
    arena.native.sit("test")
    return boot(arena, config)


def close_vm(vm: Vm) -> None:
    """Give back what would otherwise pile up over many tests."""
    REPORTS_ALLOWED.discard(id(vm))
    contract.unbind()
    for descriptor in (vm.swap_fd, *vm.files):
        os.close(descriptor)
    vm.arena.native.leave()
    vm.arena.close()


def allow_reports(vm: Vm) -> None:
    """This test misuses locks on purpose."""
    REPORTS_ALLOWED.add(id(vm))


@unguarded()
def leaks(vm: Vm) -> list[str]:
    """What must hold after every test, whatever it did: this thread is clean, the counts are true."""
    bad = [
        f"still held: {vm.native.name_of(row) if hasattr(vm.native, 'name_of') else row}"
        for row in vm.native.held()
    ]
    bad += [f"still claimed: {address:#x} {count} times" for address, count in claims(vm).items()]
    if vm.me.release_list:
        bad.append(f"{len(vm.me.release_list)} references on the release list")
    if id(vm) not in REPORTS_ALLOWED:
        bad += reports(vm)
    return bad + wrong_counts(vm)


def reports(vm: Vm) -> list[str]:
    """What the lock checker has to say."""
    return [f"reported: {report.text}" for report in arena_reports(vm.arena)]


def claims(vm: Vm) -> dict[int, int]:
    """What this thread claims: address -> how many shares of it."""
    seat = Seat.from_buffer(vm.arena.mapping, vm.native.offset_of_seat(vm.native.seat()))
    return {int(row.address): int(row.count) for row in seat.claims if row.address}


def wrong_counts(vm: Vm) -> list[str]:
    """Q5: each counter equals the length of what it counts."""
    g = vm.g
    pages = vm.pages.views[1:]
    counted = {
        "v_free_count": sum(bool(page.flags_p & PG_FREE) for page in pages),
        "v_active_count": sum(bool(page.flags_p & PG_ACTIVE) for page in pages),
        "v_inactive_count": sum(bool(page.flags_p & PG_INACTIVE) for page in pages),
        "v_wire_count": sum(page.wire_count > 0 for page in pages if not page.flags_p & PG_FREE),
        "vm_object_count": vm.objects.in_use(),
        "swap_used": sum(1 for owner in vm.swap_owners if owner),
    }
    bad = [
        f"{name} is {getattr(g, name)}, counted {n}" for name, n in counted.items() if getattr(g, name) != n
    ]
    for name in ("active", "inactive", "free"):
        listed, count = queue(vm, name), getattr(g, f"v_{name}_count")
        if len(listed) != count:
            bad.append(f"the {name} list has {len(listed)} pages, v_{name}_count is {count}")
    return bad


def queue(vm: Vm, name: str) -> list[int]:
    """Page slots of the active, inactive or free list, from its head."""
    found: list[int] = []
    slot = getattr(vm.g, f"{name}_first")
    while slot and len(found) <= vm.config.pages:
        found.append(slot)
        slot = vm.pages.views[slot].pageq_next
    return found


# --- pages


@contextmanager
def locked(*records: Any) -> Iterator[None]:
    """Hold the locks of these records (or these locks), in the order given."""
    locks = [getattr(record, "lock", record) for record in records]
    for lock in locks:
        lock.acquire()
    try:
        yield
    finally:
        for lock in reversed(locks):
            lock.release()


def new_object(vm: Vm, pages: int) -> VmObject:
    """An anonymous object of this many pages."""
    obj = vm_object_allocate(vm, pages * vm.page_size)
    assert obj is not None
    return obj


def alloc(vm: Vm, obj: VmObject, index: int) -> VmPage:
    """vm_page_alloc where memory must be there; obj locked."""
    page = vm_page_alloc(vm, obj, index * vm.page_size)
    assert page is not None
    return page


def new_pmap(vm: Vm) -> Pmap:
    """An empty pmap."""
    pmap = pmap_create(vm)
    assert pmap is not None
    return pmap


def frame(vm: Vm) -> VmPage:
    """A raw frame, from the reserve if need be."""
    page = frame_alloc(vm, 0)
    assert page is not None
    return page


def failing(*kinds: str) -> Callable[[str, int, int], bool]:
    """An I/O hook: transfers of these kinds fail (all of them without a kind)."""
    return lambda kind, _what, _length: bool(kinds) and kind not in kinds


def stamp(vm: Vm, number: int) -> bytes:
    """A page full of one number."""
    return number.to_bytes(8, "little") * (vm.page_size // 8)


def new_page(vm: Vm, obj: VmObject, index: int, number: int = 0) -> VmPage:
    """A dirty page on the active queue, full of ``number``; memory must be there."""
    with locked(obj):
        page = alloc(vm, obj, index)
        vm_page_zero_fill(vm, page)
        page.flags_o &= ~PG_FAKE
        vm.frame(page.slot)[:] = stamp(vm, number)
        RELEASE_PAGE(vm, page)
    return page


class NoMemory(Exception):
    """VM_WAIT said that there is no memory to be had."""


def owned_page(vm: Vm, obj: VmObject, index: int) -> VmPage:
    """The page with valid contents, BUSY by us and with our share of pip: a fault without a map.

    In and out: object locked, dropped in between.  The object has no shadow.
    """
    offset = index * vm.page_size
    while True:
        page = vm_page_lookup(vm, obj, offset)
        if page is not None and page.flags_o & PG_BUSY:
            intent = PAGE_ASSERT_WAIT(vm, page)
            obj.lock.release()
            thread_block(vm, page, intent)
            obj.lock.acquire()
            continue
        if page is not None:
            take(vm, page)
            vm_object_paging_begin(vm, obj)
            return page
        page = vm_page_alloc(vm, obj, offset)
        if page is None:
            obj.lock.release()
            hope = VM_WAIT(vm)
            obj.lock.acquire()
            if not hope:
                raise NoMemory
            continue
        vm_object_paging_begin(vm, obj)
        fill(vm, obj, page)
        return page


def take(vm: Vm, page: VmPage) -> None:
    """Own a page that no thread owns."""
    with vm.page_queue_lock:
        page_dequeue(vm, page)
        page_busy(vm, page)


def fill(vm: Vm, obj: VmObject, page: VmPage) -> None:
    """Contents for a fresh page: the pager's, or zeros."""
    result = VM_PAGER_FAIL
    if obj.pager:
        pager = vm.pagers(obj.pager)
        obj.lock.release()
        result = vm_pager_get_pages(vm, pager, page, True)
        obj.lock.acquire()
    if result == VM_PAGER_OK:
        page.flags_o |= PG_CLEAN
        pmap_clear_modify(vm, page)
    elif result == VM_PAGER_FAIL:
        vm_page_zero_fill(vm, page)
    else:
        FREE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)
        raise OSError(result)
    page.flags_o &= ~PG_FAKE


def store(vm: Vm, obj: VmObject, index: int, number: int) -> None:
    """Fill the page with a number, wherever it is."""
    with locked(obj):
        page = owned_page(vm, obj, index)
        page.flags_o &= ~PG_CLEAN
        vm.frame(page.slot)[:] = stamp(vm, number)
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)


def load(vm: Vm, obj: VmObject, index: int) -> int:
    """The number the page is full of, wherever it is."""
    with locked(obj):
        page = owned_page(vm, obj, index)
        data = bytes(vm.frame(page.slot))
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)
    assert data == data[:8] * (vm.page_size // 8), "torn page"
    return int.from_bytes(data[:8], "little")


def drop_page(vm: Vm, obj: VmObject, index: int) -> None:
    """Free a resident page that no thread owns; what a pager has stays."""
    with locked(obj):
        page = vm_page_lookup(vm, obj, index * vm.page_size)
        assert page is not None
        pmap_page_protect(vm, page, VM_PROT_NONE)
        with vm.page_queue_lock:
            vm_page_free(vm, page)


# --- processes


class Team:
    """Forked processes; each says through a pipe how it ended."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.members: dict[str, tuple[int, int]] = {}

    def start(self, name: str, body: Callable[..., Any], *args: Any) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writer)
            self.members[name] = (pid, reader)
            return
        # If the test run is killed nothing stops us: end with our parent.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        said = b"fine"
        try:
            self.vm.arena.native.sit(name)
            body(self.vm, *args)
        except BaseException:  # noqa: BLE001 - whatever it was, the parent must read it
            said = traceback.format_exc().encode()[-3000:]
        finally:
            os.write(writer, said)
            os._exit(0)

    def wait(self, *names: str) -> dict[str, str]:
        """How the named members ended (all of them without a name); one that takes too long is killed."""
        said = {}
        for name in names or tuple(self.members):
            pid, reader = self.members.pop(name)
            ready, _, _ = select.select([reader], [], [], LIMIT_S)
            said[name] = (os.read(reader, 4096).decode() or "died") if ready else f"hangs after {LIMIT_S} s"
            if not ready:
                os.kill(pid, signal.SIGKILL)
            reap(pid)
            os.close(reader)
        return said

    def kill(self) -> None:
        for pid, reader in self.members.values():
            os.kill(pid, signal.SIGKILL)
            reap(pid)
            os.close(reader)
        self.members.clear()


@contextmanager
def services(vm: Vm, disks: int = 1) -> Iterator[Team]:
    """The page-out daemon and disk workers as processes; they must end well."""
    team = Team(vm)
    try:
        team.start("daemon", vm_pageout_loop)
        for number in range(disks):
            team.start(f"disk {number}", disk_worker_loop)
        yield team
        stop_services(vm)
        ended = team.wait()
    finally:
        team.kill()
    assert ended == dict.fromkeys(ended, "fine"), "\n".join(ended.values())
