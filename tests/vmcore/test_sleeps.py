"""A thread that waits is asleep on the channel that will be woken: spinning would have the same results.

Each case brings about one reason to wait, starts what must wait for it, finds it asleep, wakes it for
nothing, finds it asleep again, ends the reason, and waits for its end.  The rest are pauses, of which
the shortest length is the statement.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from harness.shm.roster import Roster
from tests.vmcore.builders import locked, new_object, new_page, take
from tests.vmcore.builders_files import asleep, held, mapped, show, store, thread, vnode
from tests.vmcore.builders_objects import (
    below,
    fill,
    finish_writes,
    fork,
    page_at,
    read,
    space_of,
    top,
    write,
)
from tests.waiting import join, wait_until
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_DYING, OBJ_FADING
from vmcore.object import object_copy, object_pages
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_page_remove import vm_object_page_remove
from vmcore.object.object_pages import vm_object_page_clean, vm_object_pmap_remove
from vmcore.object.vnode_size import vnode_pager_setsize, vnode_pager_uncache
from vmcore.page.object_paging import (
    vm_object_paging_begin,
    vm_object_paging_end,
    vm_object_paging_turn,
    vm_object_paging_wait,
)
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.page.vm_wait import VM_WAIT, stop_services, wake_daemon, wake_memory_waiters
from vmcore.pageout import pageout
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm

PAGES = 4
LONG_S = 1000.0  # a poke ends it


class Wait(NamedTuple):
    """What to run beside the test, where it must sleep, what ends that, and what clears up."""

    body: Callable[[], Any]
    channel: Any
    end: Callable[[], Any]
    clear: Callable[[], Any]


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(PAGES * 4096,))


def busy(vm: Vm, obj: VmObject, number: int) -> tuple[VmPage, Callable[[], None]]:
    """Own a resident page of an object, without a paging count; and how to give it up."""
    page = page_at(vm, obj, number)
    with locked(obj):
        take(vm, page)

    def give_up() -> None:
        with locked(obj):
            RELEASE_PAGE(vm, page)

    return page, give_up


def within(obj: VmObject, body: Callable[[], Any]) -> Callable[[], None]:
    """The body with the object locked."""

    def run() -> None:
        with locked(obj):
            body()

    return run


# --- busy pages


def on_busy_page(work: Callable[[Vm, VmObject], Any]) -> Callable[[Vm], Wait]:
    """Work on an object of two pages, the second of them busy."""

    def case(vm: Vm) -> Wait:
        obj = new_object(vm, 2)
        new_page(vm, obj, 0, 1)
        new_page(vm, obj, 1, 2)
        page, give_up = busy(vm, obj, 1)
        return Wait(
            within(obj, lambda: work(vm, obj)), page.chan, give_up, lambda: vm_object_deallocate(vm, obj)
        )

    return case


def cleaning(vm: Vm, obj: VmObject) -> None:
    assert vm_object_page_clean(vm, obj, 0, 0, True, False)


def removing(vm: Vm, obj: VmObject) -> None:
    assert vm_object_page_remove(vm, obj, 0, obj.size) == 0


def a_fault(vm: Vm) -> Wait:
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    vm_object_pmap_remove(vm, top(vm, space), 0, vm.page_size)
    page, give_up = busy(vm, top(vm, space), 0)
    return Wait(lambda: read(vm, space, 0), page.chan, give_up, lambda: vmspace_exit(vm, space))


def the_push_of_a_snapshots_page(vm: Vm) -> Wait:
    writer, start = mapped(vm, 1, True)
    store(vm, writer, start, 1)
    snapshot = space_of(vm, 1)
    at = vm_map_file(vm, space_map(vm, snapshot), vnode(vm), vm.page_size, 0, False, copy=True)
    store(vm, writer, start, 2)
    obj = held(vm)
    copy = vm.objects(obj.copy)
    page, give_up = busy(vm, copy, 0)
    with locked(obj):  # the writer's mapping goes, so that its next store is a fault
        assert vm_object_page_remove(vm, obj, 0, obj.size) == 0

    def clear() -> None:
        assert (show(vm, snapshot, at), show(vm, writer, start)) == (1, 3)
        vm_object_deallocate(vm, obj)
        vmspace_exit(vm, snapshot)
        vmspace_exit(vm, writer)

    return Wait(lambda: store(vm, writer, start, 3), page.chan, give_up, clear)


def of_the_files_end(size: int, number: int) -> Callable[[Vm], Wait]:
    """The file of four pages, of which the last is half outside it, becomes ``size`` half pages long."""

    def case(vm: Vm) -> Wait:
        space, start = mapped(vm, PAGES, True)
        obj = held(vm)
        set_size(vm, 2 * PAGES - 1)
        for index in range(PAGES):
            show(vm, space, start + index * vm.page_size)
        page, give_up = busy(vm, obj, number)

        def clear() -> None:
            vm_object_deallocate(vm, obj)
            vmspace_exit(vm, space)

        return Wait(lambda: set_size(vm, size), page.chan, give_up, clear)

    return case


def set_size(vm: Vm, halves: int) -> None:
    assert vnode_pager_setsize(vm, vnode(vm), halves * vm.page_size // 2) == 0


# --- paging counts


def on_paging(work: Callable[[Vm, VmObject], Any]) -> Callable[[Vm], Wait]:
    """Work on an object with one share of its paging count taken."""

    def case(vm: Vm) -> Wait:
        obj = new_object(vm, 1)
        with locked(obj):
            vm_object_paging_begin(vm, obj)
        end = within(obj, lambda: vm_object_paging_end(vm, obj))
        return Wait(within(obj, lambda: work(vm, obj)), obj.chan, end, lambda: vm_object_deallocate(vm, obj))

    return case


def a_collapse_that_may_wait(of_front: bool) -> Callable[[Vm], Wait]:
    """One of the pair pages when the only other user of the backing object has gone."""

    def case(vm: Vm) -> Wait:
        parent = space_of(vm, 2)
        fill(vm, parent, {0: 1, 1: 2})
        child = fork(vm, parent)
        write(vm, parent, 1, 20)
        front = top(vm, parent)
        pages = front if of_front else below(vm, front)
        with locked(pages):
            vm_object_paging_begin(vm, pages)
        vmspace_exit(vm, child)

        def collapse() -> None:
            with locked(front):
                assert vm_object_collapse(vm, front, wait=True) == (1, True)

        end = within(pages, lambda: vm_object_paging_end(vm, pages))
        return Wait(collapse, pages.chan, end, lambda: vmspace_exit(vm, parent))

    return case


def the_end_of_an_object_with_a_write_in_flight(vm: Vm) -> Wait:
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    obj = top(vm, space)
    with locked(obj):
        assert vm_object_page_clean(vm, obj, 0, 0, False, False)
    return Wait(lambda: vmspace_exit(vm, space), obj.chan, lambda: finish_writes(vm), lambda: None)


# --- the others


def the_mapper_of_a_file_whose_object_dies(vm: Vm) -> Wait:
    obj = held(vm)
    with locked(obj):
        vm_object_paging_begin(vm, obj)  # its termination waits for us
    vnode_pager_uncache(vm, vnode(vm))
    dying = threading.Thread(target=vm_object_deallocate, args=(vm, obj), daemon=True)
    dying.start()
    wait_until(lambda: asleep(obj.chan), "the sleep of the terminator")
    found: list[VmObject] = []

    def clear() -> None:
        join(dying)
        vm_object_deallocate(vm, found[0])

    end = within(obj, lambda: vm_object_paging_end(vm, obj))
    return Wait(lambda: found.append(held(vm)), vnode(vm).chan, end, clear)


def who_needs_memory(vm: Vm) -> Wait:
    def end() -> None:
        with locked(vm.pages_needed_lock):
            wake_memory_waiters(vm, False)

    def body() -> None:
        assert VM_WAIT(vm)

    return Wait(body, vm.free_chan, end, lambda: None)


def a_service_without_work(loop: Callable[[Vm], None], channel: str) -> Callable[[Vm], Wait]:
    def case(vm: Vm) -> Wait:
        return Wait(lambda: loop(vm), getattr(vm, channel), lambda: stop_services(vm), lambda: None)

    return case


def the_daemons_nap(vm: Vm) -> Wait:
    def body() -> None:
        vm.pages_needed_lock.acquire()
        pageout.nap(vm, LONG_S)

    return Wait(body, vm.daemon_chan, lambda: wake_daemon(vm), lambda: None)


CASES: dict[str, Callable[[Vm], Wait]] = {
    "msync of a busy page": on_busy_page(cleaning),
    "removal of a busy page": on_busy_page(removing),
    "a fault on a busy page": a_fault,
    "a push to a busy page": the_push_of_a_snapshots_page,
    "growth: the page of the old end": of_the_files_end(2 * PAGES + 1, PAGES - 1),
    "truncation: the page of the new end": of_the_files_end(3, 1),
    "waiting for no paging": on_paging(vm_object_paging_wait),
    "waiting for a turn": on_paging(lambda vm, obj: vm_object_paging_turn(vm, obj, "vospgc")),
    "a collapse, for the front": a_collapse_that_may_wait(True),
    "a collapse, for the one behind": a_collapse_that_may_wait(False),
    "termination": the_end_of_an_object_with_a_write_in_flight,
    "the mapper of a dying file": the_mapper_of_a_file_whose_object_dies,
    "no memory": who_needs_memory,
    "the daemon": a_service_without_work(vm_pageout_loop, "daemon_chan"),
    "the daemon's nap": the_daemons_nap,
    "the disk": a_service_without_work(disk_worker_loop, "disk_chan"),
}


ONCE = ("waiting for a turn", "the daemon's nap")  # any wakeup ends them: what follows is a new look


def test_an_object_says_that_it_dies_while_its_terminator_waits(vm):
    wait = the_end_of_an_object_with_a_write_in_flight(vm)
    obj = next(obj for obj in vm.objects.live() if obj.chan is wait.channel)
    with thread(wait.body):
        wait_until(lambda: asleep(wait.channel), "the sleep of the terminator")
        assert obj.flags & (OBJ_DYING | OBJ_FADING) == OBJ_DYING | OBJ_FADING
        wait.end()


def sleeper(vm: Vm, channel: Any) -> Any:
    """The seat of the one thread that sleeps on the channel, when it does."""
    return next(
        (seat for seat in Roster(vm.arena).seats if seat.wait_lock == channel.offset and seat.activity), None
    )


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_a_thread_that_must_wait_is_asleep_until_the_reason_ends(vm, name, case):
    wait = case(vm)
    with thread(wait.body) as waiter:
        seat = wait_until(lambda: sleeper(vm, wait.channel), "the sleep")
        if name not in ONCE:
            before = seat.wait_seq
            wait.channel.wakeup()
            wait_until(
                lambda: seat.wait_seq > before and asleep(wait.channel),
                "the sleep after a wakeup for nothing",
            )
        assert waiter.is_alive()
        wait.end()
    wait.clear()

    vm.io.hook = None
    cache_clear(vm)
    assert audit(vm) == all_gone(vm) == []


def of_the_daemon(vm: Vm, rounds: int) -> None:
    """The pause after so many fruitless rounds."""
    vm.g.fruitless = rounds
    vm.pages_needed_lock.acquire()
    assert pageout.give_up_or_back_off(vm, False)


def of_a_cleaning(vm: Vm) -> None:
    obj = new_object(vm, 1)
    with locked(obj):
        object_pages.back_off(vm, obj)
    vm_object_deallocate(vm, obj)


@pytest.mark.parametrize(
    ("pause", "least"),
    [
        (lambda vm: object_copy.yield_to_holder(vm, 6), object_copy.BACK_OFF_S * 64),
        (lambda vm: object_copy.yield_to_holder(vm, 60), object_copy.BACK_OFF_S * 64),
        (of_a_cleaning, object_pages.BACK_OFF_S),
        (lambda vm: of_the_daemon(vm, 5), pageout.BACK_OFF_S * 32),
    ],
    ids=["of a copy", "of a copy, at most", "of a cleaning", "of the daemon"],
)
def test_a_thread_that_tries_again_leaves_the_processor_to_others_first(vm, pause, least):
    before = time.monotonic()
    pause(vm)
    assert time.monotonic() - before >= least
