"""The daemon: one scan by hand, then the real one with disk workers in processes of their own."""

import pytest

from harness.errors import Panic
from tests.vmcore.builders import (
    NoMemory,
    Team,
    failing,
    frame,
    leaks,
    load,
    locked,
    new_object,
    new_page,
    new_pmap,
    queue,
    services,
    store,
    wrong_counts,
)
from vmcore.constants import (
    OBJ_DYING,
    OBJ_PAGERALLOC,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    PV_MODIFIED,
    PV_REFERENCED,
    SPC_BUSY,
    VM_PAGER_AGAIN,
    VM_PAGER_FAIL,
    VM_PAGER_PEND,
    VM_PROT_DEFAULT,
)
from vmcore.deallocate import vm_object_deallocate
from vmcore.page import frame_free
from vmcore.page_queues import vm_page_deactivate
from vmcore.pageout import MISSED, SKIPPED, decide, pageout_round, scan_page, vm_pageout_scan
from vmcore.pageout_page import pageout_page
from vmcore.pmap import pmap_enter, pmap_extract
from vmcore.stats import counters
from vmcore.swap_io import disk_worker_loop, next_write, reap, write_record
from vmcore.vm_wait import VM_WAIT, poke_daemon


def inactive(vm, obj, index, number=0, flags=0):
    page = new_page(vm, obj, index, number)
    page.flags_o |= flags
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    return page


def write_next(vm):
    """One write of the disk worker, by hand."""
    record = next_write(vm)
    assert record is not None
    write_record(vm, record)


@pytest.fixture
def short(vm):
    """A VM in which this thread is the daemon and frames are short."""
    vm.g.v_free_target = vm.config.pages
    vm.me.is_daemon = True
    yield vm
    vm.me.is_daemon = False


def test_a_scan_frees_clean_pages_and_starts_writing_dirty_ones(short):
    vm, obj = short, new_object(short, 8)
    clean, dirty = inactive(vm, obj, 0, flags=PG_CLEAN), inactive(vm, obj, 1, number=11)
    freed = clean.slot

    assert vm_pageout_scan(vm) == (True, False)

    assert queue(vm, "free")[-1] == freed
    assert obj.resident_page_count == 1
    assert dirty.flags_p == PG_INACTIVE, "being washed: still inactive, no laundry"
    assert dirty.flags_o & PG_BUSY
    assert obj.paging_in_progress == 1
    assert vm.pending.views[vm.g.inuse_first].state == SPC_BUSY
    before = vm.g.v_free_count
    assert vm_pageout_scan(vm) == (False, False), "a page that is being washed is left alone"
    assert vm.g.v_free_count == before
    write_next(vm)
    assert reap(vm, True) == 1
    assert vm_pageout_scan(vm) == (True, False), "now it is clean"
    assert obj.resident_page_count == 0


def test_a_page_that_was_used_again_is_activated(short):
    vm, obj = short, new_object(short, 8)
    page = inactive(vm, obj, 0, flags=PG_CLEAN)
    page.pv_bits = PV_REFERENCED

    vm_pageout_scan(vm)

    assert obj.resident_page_count == 1
    assert vm.me.stats.v_reactivated == 1


def test_a_clean_page_that_was_written_to_meanwhile_is_not_freed(short):
    vm, obj = short, new_object(short, 8)
    page = inactive(vm, obj, 0, flags=PG_CLEAN)
    page.pv_bits = PV_MODIFIED
    assert page.flags_p == PG_INACTIVE

    assert vm_pageout_scan(vm)[0] is False

    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert not page.flags_o & PG_CLEAN


def test_a_clean_page_loses_its_mappings_before_it_is_freed(short):
    vm, obj, pmap = short, new_object(short, 8), new_pmap(short)
    page = inactive(vm, obj, 0, flags=PG_CLEAN)
    pmap_enter(vm, pmap, 0, page, VM_PROT_DEFAULT, False)

    vm_pageout_scan(vm)

    assert pmap_extract(vm, pmap, 0) is None
    assert obj.resident_page_count == 0


def test_pages_of_a_locked_or_dying_object_are_passed_over(short):
    vm, held, dying = short, new_object(short, 8), new_object(short, 8)
    pages = [inactive(vm, held, 0, flags=PG_CLEAN), inactive(vm, dying, 0, flags=PG_CLEAN)]
    dying.flags |= OBJ_DYING
    vm.g.v_inactive_target = 0

    held.lock.acquire()  # by ourselves: a try-lock fails like any other
    vm.page_queue_lock.acquire()
    fates = [scan_page(vm, page) for page in pages]
    vm.page_queue_lock.release()
    held.lock.release()

    assert fates == [MISSED, SKIPPED]
    assert all(page.flags_p == PG_INACTIVE for page in pages)
    dying.flags &= ~OBJ_DYING


def test_the_scan_refills_inactive_from_the_head_of_active(short):
    vm, obj = short, new_object(short, 8)
    pages = [new_page(vm, obj, i) for i in range(6)]
    vm.g.v_inactive_target = 4

    vm_pageout_scan(vm)

    assert queue(vm, "inactive") == [page.slot for page in pages[:4]]
    assert queue(vm, "active") == [page.slot for page in pages[4:]]


@pytest.mark.parametrize("cause", ["no swap", "no pager"])
def test_a_page_that_cannot_be_written_is_active_again(vm_of, cause):
    vm = vm_of(swap_pages=2, pagers=1)
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    if cause == "no pager":
        vm.pagers.allocate()
    vm.me.is_daemon = True

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_FAIL

    vm.me.is_daemon = False
    assert page.flags_p == PG_ACTIVE
    assert not page.flags_o & (PG_BUSY | PG_CLEAN)
    assert obj.paging_in_progress == 0


def test_while_somebody_else_makes_the_pager_the_page_stays_laundry(vm):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    obj.flags |= OBJ_PAGERALLOC

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_AGAIN

    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert not page.flags_o & PG_BUSY
    obj.flags &= ~OBJ_PAGERALLOC


def test_after_pend_the_daemon_holds_neither_page_nor_object(vm):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_PEND

    assert obj.lock.held() is False
    write_next(vm)
    assert reap(vm, True) == 1


def test_a_poke_of_an_awake_daemon_is_remembered(vm):
    poke_daemon(vm)

    assert vm.g.pages_needed == 1


def test_the_daemon_never_waits_for_memory(vm):
    vm.me.is_daemon = True

    with pytest.raises(Panic, match="only it can free"):
        VM_WAIT(vm)

    vm.me.is_daemon = False
    assert vm.g.memory_waiters == 0


def test_with_waiters_and_nothing_in_flight_the_daemon_looks_again_until_it_gives_up(vm):
    frames = [frame(vm) for _ in range(vm.g.v_free_count - 2)]
    vm.g.memory_waiters, epoch, rounds = 1, vm.g.memory_epoch, 0

    while pageout_round(vm):
        rounds += 1
        assert rounds < 100

    assert rounds > 1
    assert (vm.g.memory_epoch, vm.g.no_memory, vm.g.memory_waiters) == (epoch + 1, 1, 0)
    for page in frames:
        frame_free(vm, page)


def test_with_a_write_in_flight_the_daemon_may_sleep_and_nobody_is_sent_away(vm):
    frames = [frame(vm) for _ in range(vm.g.v_free_count - 2)]
    vm.g.memory_waiters, epoch = 1, vm.g.memory_epoch
    vm.g.writes_in_flight = 1

    assert decide(vm, False, False) is False

    assert (vm.g.memory_epoch, vm.g.memory_waiters, vm.g.fruitless) == (epoch, 1, 0)
    vm.g.writes_in_flight = vm.g.memory_waiters = 0
    for page in frames:
        frame_free(vm, page)


def test_a_round_that_missed_a_page_proves_nothing(vm):
    frames = [frame(vm) for _ in range(vm.g.v_free_count - 2)]
    vm.g.memory_waiters = 1

    assert decide(vm, False, True) is True

    assert vm.g.fruitless == 0
    vm.g.memory_waiters = 0
    for page in frames:
        frame_free(vm, page)


def test_memory_waiters_are_woken_when_there_is_more_than_the_reserve(vm):
    vm.g.memory_waiters, epoch = 3, vm.g.memory_epoch

    assert pageout_round(vm) is False

    assert (vm.g.memory_epoch, vm.g.no_memory, vm.g.memory_waiters) == (epoch + 1, 0, 0)


# --- processes


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


def test_when_swap_is_full_a_waiter_is_told_and_nobody_hangs(vm_of):
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


def test_a_disk_worker_that_is_killed_while_idle_is_replaced_by_another(vm_of):
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
