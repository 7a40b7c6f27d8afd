"""Page-out with the real daemon and real disk workers, each a process of its own."""

import pytest

from tests.vmcore.builders import (
    NoMemory,
    Team,
    failing,
    leaks,
    load,
    locked,
    new_object,
    new_page,
    services,
    store,
    wrong_counts,
)
from vmcore.constants import VM_PAGER_PEND
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.vm_wait import stop_services
from vmcore.pageout.pageout import count_daemon
from vmcore.pageout.pageout_page import pageout_page
from vmcore.pager.swap_io import disk_worker_loop, reap
from vmcore.stats import counters


def fill(vm, objects, pages, salt=0):
    for index in range(pages):
        for obj in objects:
            store(vm, obj, index, salt + obj.slot * 1000 + index)


def check(vm, objects, pages, salt=0):
    for index in range(pages):
        for obj in objects:
            assert load(vm, obj, index) == salt + obj.slot * 1000 + index


def settle(vm):
    """Nothing runs: reap what the daemon left."""
    reap(vm, True)
    assert leaks(vm) == []
    assert vm.g.inuse_first == 0


@pytest.mark.parametrize(("pages", "disks"), [(64, 1), (128, 2)])
def test_four_times_the_memory_is_written_to_swap_and_comes_back(vm_of, pages, disks):
    vm = vm_of(pages=pages)
    objects = [new_object(vm, pages) for _ in range(4)]

    with services(vm, disks):
        fill(vm, objects, pages)
        check(vm, objects, pages)
        fill(vm, objects, pages, salt=7)  # dirty again: the old swap copies must not come back
        check(vm, objects, pages, salt=7)

    settle(vm)
    total = counters(vm)
    assert total["v_pageouts"] > 4 * pages
    assert total["v_pageins"] > 4 * pages
    assert total["memory_waits"] > 0, "memory was never short: this run would prove nothing"
    for obj in objects:
        vm_object_deallocate(vm, obj)
    assert vm.g.swap_used == 0
    assert vm.g.v_free_count == pages


def test_processes_that_share_objects_see_each_others_pages_through_swap(vm_of):
    vm = vm_of(pages=64)
    objects = [new_object(vm, 64) for _ in range(3)]

    with services(vm) as team:
        for obj in objects:
            team.start(f"user {obj.slot}", lambda vm, obj: fill(vm, [obj], 64), obj)
        said = team.wait(*(f"user {obj.slot}" for obj in objects))
        assert set(said.values()) == {"fine"}, "\n".join(said.values())
        check(vm, objects, 64)

    settle(vm)


def test_when_swap_is_full_a_waiter_is_told_and_nothing_hangs(vm_of):
    vm = vm_of(pages=64, swap_pages=32)
    obj, ballast = new_object(vm, 256), new_object(vm, 24)
    stored = 0

    with services(vm):
        fill(vm, [ballast], 24)
        with pytest.raises(NoMemory):
            for index in range(256):
                store(vm, obj, index, index)
                stored += 1
        assert stored >= 64 - 24 - vm.config.free_reserved
        assert vm.g.swap_used == 32

        vm_object_deallocate(vm, ballast)  # frames and swap come back
        assert [load(vm, obj, index) for index in range(stored)] == list(range(stored))

    settle(vm)


def test_when_every_write_fails_a_waiter_is_told_and_nothing_is_lost(vm_of):
    vm = vm_of(pages=64)
    obj = new_object(vm, 256)
    vm.io.hook = failing("swap_write")  # inherited by the disk worker
    stored = 0

    with services(vm):
        with pytest.raises(NoMemory):
            for index in range(256):
                store(vm, obj, index, index)
                stored += 1
        resident = [i for i in range(stored) if load(vm, obj, i) == i]

    settle(vm)
    assert len(resident) == stored
    assert vm.g.swap_used == 0


def test_a_disk_worker_that_is_killed_while_idle_is_replaced(vm_of):
    vm = vm_of(pages=64)
    obj = new_object(vm, 128)

    with services(vm, disks=1) as team:
        other = Team(vm)
        other.start("spare", disk_worker_loop)
        other.kill()
        fill(vm, [obj], 128)
        check(vm, [obj], 128)
        assert set(team.members) == {"daemon", "disk 0"}

    settle(vm)
    assert wrong_counts(vm) == []


def test_disk_workers_outlast_the_daemon(vm):
    """The daemon may queue a write after the stop was called; a disk worker must be there to do it."""
    team = Team(vm)
    count_daemon(vm, 1)
    team.start("disk", disk_worker_loop)
    stop_services(vm)
    obj = new_object(vm, 4)
    page = new_page(vm, obj, 0)
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    vm.me.is_daemon = True

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_PEND
    count_daemon(vm, -1)
    said = team.wait()

    vm.me.is_daemon = False
    assert said == {"disk": "fine"}
    assert reap(vm, True) == 1
