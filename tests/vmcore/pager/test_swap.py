"""The swap pager: valid means written, blocks come and go, asynchronous writes are reaped."""

import pytest

from tests.vmcore.builders import (
    claims,
    drop_page,
    failing,
    load,
    locked,
    new_object,
    new_page,
    queue,
    stamp,
    store,
    wrong_counts,
)
from vmcore.constants import (
    PG_BUSY,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_SWAP,
    SPC_BUSY,
    SPC_DONE,
    SPC_ERROR,
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
    VM_PAGER_PEND,
)
from vmcore.object.object import vm_object_setpager
from vmcore.page.object_paging import PIP_OFFSET, vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import FLAGS_O, frame_alloc, frame_free
from vmcore.page.page_queues import page_dequeue, vm_page_activate, vm_page_deactivate
from vmcore.page.page_wait import page_busy, page_wakeup
from vmcore.pager.pager import (
    vm_pager_allocate,
    vm_pager_count,
    vm_pager_deallocate,
    vm_pager_get_pages,
    vm_pager_has_page,
    vm_pager_next,
    vm_pager_put_pages,
    vm_pager_remove,
)
from vmcore.pager.swap import block_pages
from vmcore.pager.swap_io import next_write, reap, write_record

KIB = 1024


def with_pager(vm):
    """An object of 16 pages with an empty swap pager of 4 blocks of 4."""
    obj = new_object(vm, 16)
    pager = vm_pager_allocate(vm, PG_SWAP, 0, obj.size)
    assert pager is not None
    with locked(obj):
        vm_object_setpager(vm, obj, pager, 0)
    return obj, pager


@pytest.fixture
def world(vm):
    """An object of 16 pages (4 blocks of 4) with an empty swap pager."""
    obj, pager = with_pager(vm)
    return vm, obj, pager


def own(vm, obj, page):
    with locked(obj, vm.page_queue_lock):
        page_dequeue(vm, page)
        page_busy(vm, page)
        vm_object_paging_begin(vm, obj)


def disown(vm, obj, page):
    with locked(obj, vm.page_queue_lock):
        page_wakeup(vm, page)
        vm_page_activate(vm, page)
        vm_object_paging_end(vm, obj)


def put(vm, obj, pager, page, sync=True):
    own(vm, obj, page)
    result = vm_pager_put_pages(vm, pager, page, sync)
    if result != VM_PAGER_PEND:
        disown(vm, obj, page)
    return result


def get(vm, obj, pager, page):
    own(vm, obj, page)
    result = vm_pager_get_pages(vm, pager, page, True)
    disown(vm, obj, page)
    return result


def blocks(vm, pager):
    views, found, slot = vm.swap_blocks.views, {}, pager.sw_first
    while slot:
        found[views[slot].index] = views[slot].swb_mask
        slot = views[slot].next
    return found


def work(vm):
    """One write of the disk worker."""
    record = next_write(vm)
    assert record is not None
    write_record(vm, record)
    return record


@pytest.mark.parametrize(
    ("size", "pages"),
    [(4 * KIB, 4), (1024 * KIB, 4), (1025 * KIB, 8), (2048 * KIB, 8), (4096 * KIB, 16), (4097 * KIB, 32)],
)
def test_the_block_size_follows_from_the_object(size, pages):
    assert block_pages(size, 4096) == pages


def test_what_was_written_comes_back(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 5, number=55)

    assert put(vm, obj, pager, page) == VM_PAGER_OK
    vm.frame(page.slot)[:] = stamp(vm, 0)
    assert get(vm, obj, pager, page) == VM_PAGER_OK

    assert bytes(vm.frame(page.slot)) == stamp(vm, 55)
    assert blocks(vm, pager) == {1: 0b0010}
    assert (vm_pager_count(vm, pager), vm.g.swap_used) == (1, 4)


def test_a_page_that_was_never_written_is_not_there(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 5)

    assert get(vm, obj, pager, page) == VM_PAGER_FAIL
    assert not vm_pager_has_page(vm, pager, 5 * vm.page_size)
    assert vm_pager_next(vm, pager, 0) == pager.sw_osize
    assert vm.g.swap_used == 0


def test_offsets_beyond_the_pager_are_refused(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 3)
    obj.paging_offset = pager.sw_osize

    assert get(vm, obj, pager, page) == VM_PAGER_FAIL
    assert put(vm, obj, pager, page) == VM_PAGER_BAD
    assert put(vm, obj, pager, page, sync=False) == VM_PAGER_BAD
    assert vm.g.swap_used == 0


def test_the_paging_offset_shifts_every_page(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 0, number=3)
    obj.paging_offset = 6 * vm.page_size

    assert put(vm, obj, pager, page) == VM_PAGER_OK

    assert blocks(vm, pager) == {1: 0b0100}


def test_a_failed_write_leaves_no_valid_page_and_no_empty_block(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 0, number=1)
    assert put(vm, obj, pager, page) == VM_PAGER_OK
    vm.io.hook = failing("swap_write")

    assert put(vm, obj, pager, page) == VM_PAGER_ERROR

    assert not vm_pager_has_page(vm, pager, 0), "the old contents must not come back"
    assert (vm_pager_count(vm, pager), vm.g.swap_used, blocks(vm, pager)) == (0, 0, {})


def test_a_failed_read_is_an_error_and_the_copy_stays(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 0, number=1)
    assert put(vm, obj, pager, page) == VM_PAGER_OK
    vm.io.hook = failing("swap_read")

    assert get(vm, obj, pager, page) == VM_PAGER_ERROR

    assert vm_pager_has_page(vm, pager, 0)


def test_without_swap_space_a_write_fails_and_changes_nothing(vm_of):
    vm = vm_of(swap_pages=4)
    obj, pager = with_pager(vm)

    assert put(vm, obj, pager, new_page(vm, obj, 0)) == VM_PAGER_OK
    other = new_page(vm, obj, 4)
    assert put(vm, obj, pager, other) == VM_PAGER_FAIL
    assert put(vm, obj, pager, other, sync=False) == VM_PAGER_FAIL

    assert blocks(vm, pager) == {0: 1}
    assert vm.swap_blocks.in_use() == 1
    assert queue(vm, "free")[-1] != 0
    assert wrong_counts(vm) == []


def test_remove_forgets_a_range_and_frees_blocks_that_became_empty(world):
    vm, obj, pager = world
    for i in (0, 1, 4, 5, 9):
        assert put(vm, obj, pager, new_page(vm, obj, i)) == VM_PAGER_OK
    size = vm.page_size

    assert vm_pager_remove(vm, pager, size, 5 * size) == 2

    assert blocks(vm, pager) == {0: 0b1, 1: 0b10, 2: 0b10}
    assert [vm_pager_next(vm, pager, i * size) // size for i in (0, 1, 6, 10)] == [0, 5, 9, 16]
    assert vm_pager_remove(vm, pager, 5 * size, 0) == 2
    assert (blocks(vm, pager), vm_pager_count(vm, pager), vm.g.swap_used) == ({0: 1}, 1, 4)


def test_deallocation_gives_everything_back(world):
    vm, obj, pager = world
    for i in (0, 4, 9):
        assert put(vm, obj, pager, new_page(vm, obj, i)) == VM_PAGER_OK

    with locked(obj):
        obj.pager = 0
        vm_pager_deallocate(vm, pager)  # under an object lock, as a collapse does it

    assert (vm.g.swap_used, vm.swap_blocks.in_use(), vm.pagers.in_use()) == (0, 0, 0)


def test_an_asynchronous_write_takes_page_and_paging_count_along(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 2, number=22)
    free = vm.g.v_free_count

    assert put(vm, obj, pager, page, sync=False) == VM_PAGER_PEND

    record = vm.pending.views[vm.g.inuse_first]
    assert (record.state, record.page, obj.paging_in_progress) == (SPC_BUSY, page.slot, 1)
    assert record.busy_address == page.address + FLAGS_O
    assert record.pip_address == obj.address + PIP_OFFSET
    assert page.flags_o & PG_BUSY
    assert claims(vm) == {}, "they are the record's now"
    assert vm.g.v_free_count == free - 1, "the copy needs a frame"
    assert not vm_pager_has_page(vm, pager, 2 * vm.page_size)

    vm.frame(page.slot)[:] = stamp(vm, 0)  # the copy was taken before
    assert work(vm).state == SPC_DONE
    assert page.flags_o & PG_BUSY, "a disk worker touches no page"
    assert not page.flags_o & PG_CLEAN
    assert obj.paging_in_progress == 1
    assert vm_pager_has_page(vm, pager, 2 * vm.page_size)
    assert vm.g.pages_needed, "the daemon was not told"
    assert pager.sw_poip == 0

    assert reap(vm, True) == 1
    assert not page.flags_o & PG_BUSY
    assert page.flags_o & PG_CLEAN
    assert page.flags_p == PG_INACTIVE, "it was on no queue"
    assert obj.paging_in_progress == 0
    assert vm.g.v_free_count == free
    assert vm.g.inuse_first == 0
    assert get(vm, obj, pager, page) == VM_PAGER_OK
    assert bytes(vm.frame(page.slot)) == stamp(vm, 22)


def test_a_failed_asynchronous_write_makes_the_page_laundry_again(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 2, number=22)
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    with locked(obj, vm.page_queue_lock):  # as the daemon does it: the page stays inactive
        page_busy(vm, page)
        page.flags_p &= ~PG_LAUNDRY
        vm_object_paging_begin(vm, obj)
    assert vm_pager_put_pages(vm, pager, page, False) == VM_PAGER_PEND
    vm.io.hook = failing()

    assert work(vm).state == SPC_ERROR
    assert reap(vm, True) == 0

    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert not page.flags_o & (PG_BUSY | PG_CLEAN)
    assert (obj.paging_in_progress, vm.g.swap_used, pager.sw_poip) == (0, 0, 0)


def test_reaping_by_try_leaves_a_locked_object_to_the_daemon(world):
    vm, obj, pager = world
    page = new_page(vm, obj, 0)
    assert put(vm, obj, pager, page, sync=False) == VM_PAGER_PEND
    record = work(vm)
    vm.g.pages_needed = 0

    with locked(obj):
        assert reap(vm, False) == 0

    assert record.state == SPC_DONE
    assert vm.g.inuse_first == record.slot
    assert vm.g.pages_needed == 1
    assert reap(vm, False) == 1


def test_without_a_record_or_a_frame_the_answer_is_again(vm_of):
    vm = vm_of(pending=1, pages=32)
    obj, pager = with_pager(vm)
    one, two = new_page(vm, obj, 0), new_page(vm, obj, 1)

    assert put(vm, obj, pager, one, sync=False) == VM_PAGER_PEND
    assert put(vm, obj, pager, two, sync=False) == VM_PAGER_AGAIN
    work(vm)
    frames = []
    while (page := frame_alloc(vm, vm.g.v_free_reserved)) is not None:
        frames.append(page)
    assert put(vm, obj, pager, two, sync=False) == VM_PAGER_AGAIN
    assert vm.g.spc_free_first == 1, "the record was not given back"
    vm.me.is_daemon = True  # may go below the reserve
    assert put(vm, obj, pager, two, sync=False) == VM_PAGER_PEND
    vm.me.is_daemon = False
    for page in frames:
        frame_free(vm, page)
    work(vm)
    assert reap(vm, True) == 1

    assert blocks(vm, pager) == {0: 0b11}


def test_a_block_is_not_given_back_while_a_write_into_it_is_in_flight(world):
    vm, obj, pager = world
    one, two = new_page(vm, obj, 0, number=1), new_page(vm, obj, 1, number=2)
    assert put(vm, obj, pager, one, sync=False) == VM_PAGER_PEND
    vm.io.hook = failing()

    assert put(vm, obj, pager, two) == VM_PAGER_ERROR

    assert vm.g.swap_used == 4, "the disk worker would write into the page of another object"
    vm.io.hook = None
    work(vm)
    assert reap(vm, True) == 1
    assert blocks(vm, pager) == {0: 0b01}


def test_writes_are_done_in_the_order_they_were_queued(world):
    vm, obj, pager = world
    pages = [new_page(vm, obj, i) for i in range(4)]
    for page in pages:
        assert put(vm, obj, pager, page, sync=False) == VM_PAGER_PEND

    assert [work(vm).page for _ in pages] == [page.slot for page in pages]
    assert reap(vm, True) == 4


def test_a_page_in_swap_is_loaded_when_it_is_needed(world):
    vm, obj, pager = world
    store(vm, obj, 7, 70)
    page = next(iter(queue(vm, "active")))
    assert put(vm, obj, pager, vm.pages.views[page]) == VM_PAGER_OK
    drop_page(vm, obj, 7)

    assert load(vm, obj, 7) == 70
    assert vm.me.stats.v_pageins == 1
