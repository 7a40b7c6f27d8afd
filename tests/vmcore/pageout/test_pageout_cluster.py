"""Clustered page-out: which neighbours go along, one write for all, one answer for all."""

import os

import pytest

from harness.watch.providers import served
from stress.run.world import lay_down_providers
from tests.vmcore.builders import (
    claims,
    failing,
    load,
    locked,
    new_object,
    new_page,
    queue,
    services,
    stamp,
    store,
)
from vmcore.constants import (
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    PV_REFERENCED,
    SPC_BUSY,
    SPC_DONE,
    SPC_FREE,
    SPC_WRITING,
    VM_PAGER_AGAIN,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_PEND,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_pager import ensure_pager
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.page.object_paging import PIP_OFFSET
from vmcore.page.page import FLAGS_O, vm_page_free
from vmcore.page.page_queues import vm_page_activate, vm_page_deactivate
from vmcore.pageout.pageout import vm_pageout_scan
from vmcore.pageout.pageout_page import pageout_page
from vmcore.pager.cluster import swap_pager_cluster, vm_pager_cluster
from vmcore.pager.swap import block_pages
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.stats import counters

WINDOW = 8  # pages per block of an object of this size
PAGES = 300


def inactive(vm, obj, index, flags=0):
    """A dirty page that the daemon may write."""
    page = new_page(vm, obj, index, number=100 + index)
    page.flags_o |= flags
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    return page


def page_out(vm, obj, page):
    with locked(vm.page_queue_lock):
        assert obj.lock.try_acquire()
        return pageout_page(vm, page, obj)


def write_next(vm):
    record = next_write(vm)
    assert record is not None
    write_record(vm, record)
    return record


def count_writes(monkeypatch):
    """Lengths, in pages, of the real writes from now on."""
    lengths, real = [], os.pwritev

    def counting(descriptor, memory, offset):
        lengths.append(len(memory))
        return real(descriptor, memory, offset)

    monkeypatch.setattr(os, "pwritev", counting)
    return lengths


@pytest.fixture
def washed(vm):
    """A VM in which we are the daemon, and an object with a pager whose blocks have 8 pages."""
    obj = new_object(vm, PAGES)
    with locked(obj):
        assert ensure_pager(vm, obj)
    assert vm.pagers(obj.pager).sw_bsize == WINDOW == vm.config.cluster_pages
    vm.me.is_daemon = True
    yield vm, obj
    vm.me.is_daemon = False


@pytest.mark.parametrize(
    ("pages", "index", "window"),
    [(16, 5, (4, 8)), (14, 13, (12, 14)), (300, 9, (8, 16)), (600, 20, (16, 32)), (2000, 17, (16, 32))],
)
def test_the_window_is_the_block_or_64_kib_cut_at_the_end(vm, pages, index, window):
    obj = new_object(vm, pages)
    with locked(obj):
        assert ensure_pager(vm, obj)
    pager, size = vm.pagers(obj.pager), vm.page_size
    assert block_pages(2000 * size, size) == 32, "the last case has a block of two windows"

    assert swap_pager_cluster(vm, pager, index * size) == (window[0] * size, window[1] * size)


def test_the_window_of_a_file_ends_with_the_file(vm_of):
    vm = vm_of(files=(18 * 4096 + 1,))
    obj = vnode_pager_alloc(vm, vm.vnodes.views[1])
    assert obj is not None
    pager, size = vm.pagers(obj.pager), vm.page_size

    assert vm_pager_cluster(vm, pager, 3 * size) == (0, 16 * size)
    assert vm_pager_cluster(vm, pager, 17 * size) == (16 * size, 19 * size)
    vm_object_deallocate(vm, obj)


def test_neighbours_in_the_window_go_along_with_one_write(washed, monkeypatch):
    vm, obj = washed
    pages = [inactive(vm, obj, index) for index in (7, 8, 9, 10, 11, 16)]
    writes = count_writes(monkeypatch)

    assert page_out(vm, obj, pages[2]) == VM_PAGER_PEND

    run = pages[1:5]
    assert [bool(page.flags_o & PG_BUSY) for page in pages] == [False, True, True, True, True, False]
    assert all(page.flags_p == PG_INACTIVE for page in run), "being washed: inactive, no laundry"
    assert obj.paging_in_progress == 1, "one share for the whole run"
    record = vm.pending.views[vm.g.inuse_first]
    assert (record.page, record.count, record.index) == (run[0].slot, 4, 0)
    assert write_next(vm).state == SPC_DONE
    assert writes == [4]
    assert reap(vm, True) == 1
    assert all(page.flags_o & PG_CLEAN and not page.flags_o & PG_BUSY for page in run)
    assert obj.paging_in_progress == 0
    assert (vm.pagers(obj.pager).sw_cnt, vm.me.stats.pager_writes, vm.me.stats.v_pageouts) == (4, 1, 4)
    where = vm.swap_blocks.views[vm.pagers(obj.pager).sw_first].swb_block * vm.page_size
    assert os.pread(vm.swap_fd, 4 * vm.page_size, where) == b"".join(stamp(vm, 108 + i) for i in range(4))


@pytest.mark.parametrize("why", ["clean", "referenced", "active", "busy", "absent"])
def test_a_page_that_cannot_go_along_ends_the_run(washed, why):
    vm, obj = washed
    target, barrier, beyond = inactive(vm, obj, 8), inactive(vm, obj, 9), inactive(vm, obj, 10)
    if why == "clean":
        barrier.flags_o |= PG_CLEAN
    elif why == "referenced":
        barrier.pv_bits = PV_REFERENCED
    elif why == "busy":
        barrier.flags_o |= PG_BUSY
    else:
        with locked(obj, vm.page_queue_lock):
            (vm_page_free if why == "absent" else vm_page_activate)(vm, barrier)

    assert page_out(vm, obj, target) == VM_PAGER_PEND

    assert vm.pending.views[vm.g.inuse_first].count == 1
    assert beyond.flags_p == PG_INACTIVE | PG_LAUNDRY
    barrier.flags_o &= ~PG_BUSY
    write_next(vm)
    assert reap(vm, True) == 1


def test_the_option_bounds_the_run_and_one_turns_it_off(vm_of):
    found = {}
    for most in (1, 3):
        vm = vm_of(cluster_pages=most)
        obj = new_object(vm, PAGES)
        with locked(obj):
            assert ensure_pager(vm, obj)
        pages = [inactive(vm, obj, index) for index in range(8)]
        assert page_out(vm, obj, pages[4]) == VM_PAGER_PEND
        found[most] = [page.offset // vm.page_size for page in pages if page.flags_o & PG_BUSY]
        write_next(vm)
        reap(vm, True)

    assert found == {1: [4], 3: [2, 3, 4]}


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        (VM_PAGER_FAIL, PG_ACTIVE),
        (VM_PAGER_ERROR, PG_ACTIVE),
        (VM_PAGER_AGAIN, PG_INACTIVE | PG_LAUNDRY),
    ],
)
def test_of_a_run_that_is_refused_only_the_target_is_activated(washed, answer, target):
    vm, obj = washed
    pages = [inactive(vm, obj, index) for index in range(4)]
    vm.io.result_hook = lambda kind, *_: answer if kind == "put" else None

    assert page_out(vm, obj, pages[1]) == answer

    assert [page.flags_p for page in pages] == [
        target if index == 1 else PG_INACTIVE | PG_LAUNDRY for index in range(4)
    ]
    assert not any(page.flags_o & (PG_BUSY | PG_CLEAN) for page in pages)
    assert (obj.paging_in_progress, vm.me.stats.v_pageouts, vm.g.swap_used) == (0, 0, 0)


def test_a_write_that_fails_makes_the_whole_run_laundry_again(washed):
    vm, obj = washed
    pages = [inactive(vm, obj, index) for index in range(4)]
    assert page_out(vm, obj, pages[0]) == VM_PAGER_PEND
    vm.io.hook = failing("swap_write")

    write_next(vm)
    assert reap(vm, True) == 0

    assert all(page.flags_p == PG_INACTIVE | PG_LAUNDRY for page in pages)
    assert not any(page.flags_o & (PG_BUSY | PG_CLEAN) for page in pages)
    assert (obj.paging_in_progress, vm.pagers(obj.pager).sw_cnt, vm.g.swap_used) == (0, 0, 0)


def test_old_contents_of_every_page_of_the_run_are_invalid_from_the_start(washed):
    vm, obj = washed
    pages = [inactive(vm, obj, index) for index in range(4)]
    assert page_out(vm, obj, pages[0]) == VM_PAGER_PEND
    write_next(vm)
    assert reap(vm, True) == 1
    for page in pages:
        page.flags_o &= ~PG_CLEAN
        page.flags_p |= PG_LAUNDRY

    assert page_out(vm, obj, pages[0]) == VM_PAGER_PEND

    assert vm.pagers(obj.pager).sw_cnt == 0
    vm.io.hook = failing("swap_write")
    write_next(vm)
    assert reap(vm, True) == 0
    assert vm.g.swap_used == 0


def led_to(vm, role):
    """Addresses whose sleepers a watcher leads to this role."""
    return {address for address, _ in served(vm.arena, {role: [1]})}


def test_each_busy_page_of_the_run_leads_a_watcher_to_the_disk(washed):
    vm, obj = washed
    pages = [inactive(vm, obj, index) for index in range(4)]

    assert page_out(vm, obj, pages[2]) == VM_PAGER_PEND

    record, rows = vm.pending.views[vm.g.inuse_first], vm.pending_pages.views[1:]
    owned = {record.busy_address, *(row.busy_address for row in rows if row.state == SPC_BUSY)}
    assert owned == {page.address + FLAGS_O for page in pages}
    assert record.pip_address == obj.address + PIP_OFFSET
    assert claims(vm) == {}, "they are the record's now"
    lay_down_providers(vm)
    assert led_to(vm, "disk") == {*owned, record.pip_address}
    taken = next_write(vm)
    assert taken is not None
    assert led_to(vm, "disk") == {*owned, record.pip_address}
    assert {row.state for row in rows if row.busy_address} == {SPC_WRITING}
    write_record(vm, taken)
    assert {row.state for row in rows if row.busy_address} == {SPC_DONE}
    assert led_to(vm, "disk") == set()
    assert led_to(vm, "pageout") > {*owned, record.pip_address}
    assert reap(vm, True) == 1
    assert not any(row.busy_address or row.state != SPC_FREE for row in rows)


def test_a_run_needs_one_record_and_one_frame(vm_of):
    vm = vm_of(pending=1)
    obj = new_object(vm, PAGES)
    with locked(obj):
        assert ensure_pager(vm, obj)
    pages = [inactive(vm, obj, index) for index in range(8)]
    free = vm.g.v_free_count

    assert page_out(vm, obj, pages[0]) == VM_PAGER_PEND

    assert vm.g.v_free_count == free - 1
    write_next(vm)
    assert vm.g.v_free_count == free
    assert reap(vm, True) == 1
    assert all(page.flags_o & PG_CLEAN for page in pages)


def test_a_scan_goes_on_behind_a_run(washed):
    vm, obj = washed
    vm.g.v_free_target = vm.config.pages
    pages = [inactive(vm, obj, index) for index in range(12)]

    vm_pageout_scan(vm)

    assert all(page.flags_o & PG_BUSY for page in pages)
    assert vm.me.stats.pager_writes == 2, "one window of 8, then 4"
    assert queue(vm, "inactive") == [page.slot for page in pages]
    for _ in range(2):
        write_next(vm)
    assert reap(vm, True) == 2


def test_an_inherited_pager_is_asked_in_its_own_offsets(washed):
    vm, obj = washed
    obj.paging_offset, obj.size = 6 * vm.page_size, 200 * vm.page_size
    pages = [inactive(vm, obj, index) for index in range(4)]

    assert page_out(vm, obj, pages[1]) == VM_PAGER_PEND

    assert [bool(page.flags_o & PG_BUSY) for page in pages] == [True, True, False, False]
    assert vm.pending.views[vm.g.inuse_first].index == 6
    write_next(vm)
    assert reap(vm, True) == 1


def test_dirty_pages_of_a_file_are_written_together(vm_of, monkeypatch):
    vm = vm_of(files=(7 * 4096 + 100,))
    obj = vnode_pager_alloc(vm, vm.vnodes.views[1])
    assert obj is not None
    pages = [inactive(vm, obj, index) for index in range(8)]
    writes = count_writes(monkeypatch)
    vm.me.is_daemon = True

    page_out(vm, obj, pages[3])

    vm.me.is_daemon = False
    assert writes == [8]
    assert all(page.flags_o & PG_CLEAN for page in pages)
    data = os.pread(vm.files[0], 1 << 20, 0)
    assert data == b"".join(stamp(vm, 100 + index) for index in range(8))[: 7 * 4096 + 100]
    vm_object_deallocate(vm, obj)


def test_with_services_memory_goes_out_in_runs_and_comes_back(vm_of):
    vm = vm_of(pages=96)
    objects = [new_object(vm, PAGES) for _ in range(2)]

    with services(vm, disks=2):
        for obj in objects:
            for index in range(120):
                store(vm, obj, index, obj.slot * 1000 + index)
        for obj in objects:
            assert [load(vm, obj, index) for index in range(120)] == [
                obj.slot * 1000 + index for index in range(120)
            ]

    reap(vm, True)
    total = counters(vm)
    assert total["v_pageouts"] > 2 * total["pager_writes"] > 0, "hardly a run was longer than one page"
    for obj in objects:
        vm_object_deallocate(vm, obj)
    assert (vm.g.swap_used, vm.g.v_free_count) == (0, vm.config.pages)
