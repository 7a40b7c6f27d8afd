"""The daemon: one scan by hand, then the real one with disk workers in processes of their own."""

import pytest

import vmcore.pageout.pageout
from harness._native import CONSTANTS
from harness.errors import Panic
from tests.vmcore.builders import (
    allow_reports,
    frame,
    locked,
    new_object,
    new_page,
    new_pmap,
    queue,
    reports,
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
    REPORT_INVARIANT,
    SPC_BUSY,
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_FAIL,
    VM_PAGER_PEND,
    VM_PROT_DEFAULT,
)
from vmcore.object.object_pager import ensure_pager
from vmcore.page.page import frame_free
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.vm_wait import VM_WAIT, wake_daemon
from vmcore.pageout.pageout import (
    FRUITLESS_LIMIT,
    MISSED,
    SKIPPED,
    TRANSIT_LIMIT,
    decide,
    pageout_round,
    refill_inactive,
    scan_page,
    vm_pageout_scan,
)
from vmcore.pageout.pageout_page import pageout_page
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.pmap.pmap import pmap_enter, pmap_extract


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


@pytest.mark.parametrize(
    ("target", "freed", "moved"), [(2, True, 0), (2, False, 1), (1, False, 1), (4, True, 2)]
)
def test_a_scan_that_freed_nothing_moves_at_least_one_page(short, target, freed, moved):
    vm, obj = short, new_object(short, 8)
    for index in range(2):
        inactive(vm, obj, index)
    for index in range(2, 6):
        new_page(vm, obj, index)
    vm.g.v_inactive_target = target

    with locked(vm.page_queue_lock):
        refill_inactive(vm, freed)

    assert len(queue(vm, "inactive")) == 2 + moved


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


def test_while_another_thread_makes_the_pager_the_page_stays_laundry(vm):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    obj.flags |= OBJ_PAGERALLOC

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_AGAIN

    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert not page.flags_o & PG_BUSY
    obj.flags &= ~OBJ_PAGERALLOC


def test_an_anonymous_page_beyond_its_pager_is_reported_and_stays_laundry(vm):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    with locked(obj):
        assert ensure_pager(vm, obj)
    obj.paging_offset = obj.size
    allow_reports(vm)
    assert CONSTANTS["REPORT_INVARIANT"] == REPORT_INVARIANT

    with locked(vm.page_queue_lock):
        obj.lock.try_acquire()
        assert pageout_page(vm, page, obj) == VM_PAGER_BAD

    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert len(reports(vm)) == 1


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
    wake_daemon(vm)

    assert vm.g.pages_needed == 1


def test_the_daemon_never_waits_for_memory(vm):
    vm.me.is_daemon = True

    with pytest.raises(Panic, match="only it can free"):
        VM_WAIT(vm)

    vm.me.is_daemon = False
    assert vm.g.memory_waiters == 0


@pytest.mark.parametrize(("wired", "limit"), [(True, FRUITLESS_LIMIT), (False, TRANSIT_LIMIT)])
def test_with_waiters_and_nothing_in_flight_the_daemon_retries_then_ends(vm, monkeypatch, wired, limit):
    """Frames that another thread owns may come back: they earn more patience than wired ones."""
    monkeypatch.setattr(vmcore.pageout.pageout, "BACK_OFF_S", 0)
    frames = [frame(vm) for _ in range(vm.g.v_free_count - 2)]
    vm.g.v_wire_count = len(frames) if wired else 0
    vm.g.memory_waiters, epoch, rounds = 1, vm.g.memory_epoch, 0

    while pageout_round(vm):
        rounds += 1
        assert rounds <= limit

    assert rounds == limit
    assert (vm.g.memory_epoch, vm.g.no_memory, vm.g.memory_waiters) == (epoch + 1, 1, 0)
    vm.g.v_wire_count = 0
    for page in frames:
        frame_free(vm, page)


def test_with_a_write_in_flight_the_daemon_sleeps_and_refuses_no_waiter(vm):
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
