"""Pages: identity, the hash, the free list, busy pages."""

import threading

import pytest

from harness.errors import Panic
from tests.vmcore.builders import alloc, claims, locked, new_object, new_page, queue, stamp, wrong_counts
from vmcore.constants import PG_BUSY, PG_CLEAN, PG_FAKE, PG_TABLED, PG_WANTED
from vmcore.page.page import (
    FLAGS_O,
    object_pages,
    vm_page_alloc,
    vm_page_copy,
    vm_page_free,
    vm_page_lookup,
    vm_page_rename,
    vm_page_zero_fill,
)
from vmcore.page.page_wait import (
    FREE_PAGE,
    PAGE_ASSERT_WAIT,
    RELEASE_PAGE,
    page_busy,
    page_wakeup,
    thread_block,
)


def test_a_fresh_page_is_busy_clean_and_fake_and_on_no_queue(vm):
    obj = new_object(vm, 4)
    free = vm.g.v_free_count

    with locked(obj):
        page = alloc(vm, obj, 1)

    assert page.flags_o == PG_BUSY | PG_CLEAN | PG_FAKE | PG_TABLED
    assert page.flags_p == 0
    assert vm.objects(page.object) is obj
    assert page.offset == vm.page_size
    assert vm.g.v_free_count == free - 1
    assert claims(vm) == {page.address + FLAGS_O: 1}
    with locked(obj):
        assert vm_page_lookup(vm, obj, vm.page_size) is page
        assert vm_page_lookup(vm, obj, 0) is None
        FREE_PAGE(vm, page)


def test_pages_of_many_objects_are_told_apart_by_the_hash(vm):
    objects = [new_object(vm, 8) for _ in range(8)]
    made = {(obj.slot, i): new_page(vm, obj, i) for obj in objects for i in range(8)}

    for obj in objects:
        with locked(obj):
            for i in range(8):
                assert vm_page_lookup(vm, obj, i * vm.page_size) is made[obj.slot, i]


def test_the_page_list_keeps_the_order_of_insertion_whatever_is_removed(vm):
    obj = new_object(vm, 8)
    pages = [new_page(vm, obj, i) for i in range(5)]

    for gone in (pages[0], pages[4], pages[2]):
        with locked(obj, vm.page_queue_lock):
            vm_page_free(vm, gone)

    assert object_pages(vm, obj) == [pages[1], pages[3]]
    assert obj.resident_page_count == 2


def test_a_freed_page_is_not_found_and_is_last_on_the_free_list(vm):
    obj = new_object(vm, 2)
    page = new_page(vm, obj, 1)

    with locked(obj, vm.page_queue_lock):
        vm_page_free(vm, page)

    with locked(obj):
        assert vm_page_lookup(vm, obj, vm.page_size) is None
    assert queue(vm, "free")[-1] == page.slot
    assert vm.objects(page.object) is obj  # never cleared: another thread may still read it


def test_freeing_a_page_that_is_still_ours_gives_up_the_claim(vm):
    obj = new_object(vm, 1)

    with locked(obj):
        page = alloc(vm, obj, 0)
        with locked(vm.page_queue_lock):
            vm_page_free(vm, page)

    assert claims(vm) == {}
    assert (page.flags_o, obj.resident_page_count) == (0, 0)


def test_a_page_is_not_freed_while_a_thread_sleeps_on_it(vm):
    obj = new_object(vm, 1)

    with locked(obj):
        page = alloc(vm, obj, 0)
        PAGE_ASSERT_WAIT(vm, page)
        with locked(vm.page_queue_lock), pytest.raises(Panic, match="sleeps on page"):
            vm_page_free(vm, page)
        FREE_PAGE(vm, page)  # which wakes first


def test_rename_moves_the_page_and_nothing_else(vm):
    one, two = new_object(vm, 4), new_object(vm, 4)
    page = new_page(vm, one, 3, number=77)
    active, flags = queue(vm, "active"), (page.flags_o, page.flags_p)

    two.lock.acquire()
    try:
        if one.lock.try_acquire():
            vm_page_rename(vm, page, two, vm.page_size)
            one.lock.release()
    finally:
        two.lock.release()

    with locked(two):
        assert vm_page_lookup(vm, two, vm.page_size) is page
    with locked(one):
        assert vm_page_lookup(vm, one, 3 * vm.page_size) is None
    assert (one.resident_page_count, two.resident_page_count) == (0, 1)
    assert (page.flags_o, page.flags_p) == flags
    assert queue(vm, "active") == active
    assert bytes(vm.frame(page.slot)) == stamp(vm, 77)


def test_zero_fill_and_copy_make_the_target_dirty(vm):
    obj = new_object(vm, 2)
    source = new_page(vm, obj, 0, number=5)
    target = new_page(vm, obj, 1, number=6)
    source.flags_o |= PG_CLEAN
    target.flags_o |= PG_CLEAN

    with locked(obj):
        vm_page_copy(vm, source, target)

    assert bytes(vm.frame(target.slot)) == stamp(vm, 5)
    assert not target.flags_o & PG_CLEAN
    assert source.flags_o & PG_CLEAN
    target.flags_o |= PG_CLEAN
    vm_page_zero_fill(vm, target)
    assert bytes(vm.frame(target.slot)) == bytes(vm.page_size)
    assert not target.flags_o & PG_CLEAN


def test_the_last_frames_are_for_the_daemon_and_the_kernel(vm):
    obj, kernel = new_object(vm, 500), vm.objects(vm.g.kernel_object)
    taken = 0

    with locked(obj):
        while (page := vm_page_alloc(vm, obj, taken * vm.page_size)) is not None:
            RELEASE_PAGE(vm, page)
            taken += 1
    assert vm.g.v_free_count == vm.g.v_free_reserved == vm.config.free_reserved
    assert vm.g.pages_needed == 1, "the daemon was not told"

    with locked(kernel):
        page = alloc(vm, kernel, 0)
        FREE_PAGE(vm, page)
    vm.me.is_daemon = True
    with locked(obj):
        page = alloc(vm, obj, taken)
        FREE_PAGE(vm, page)
    vm.me.is_daemon = False
    assert wrong_counts(vm) == []


def test_waiters_of_a_busy_page_sleep_until_its_owner_gives_it_up(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)
    with locked(obj, vm.page_queue_lock):
        page_busy(vm, page)
    ready, woken = threading.Barrier(4), []

    def wait():
        with locked(obj):
            intent = PAGE_ASSERT_WAIT(vm, page)
        ready.wait(30)
        thread_block(vm, page, intent)
        woken.append(page.flags_o & PG_BUSY)

    waiters = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in waiters:
        thread.start()
    ready.wait(30)  # all three have said that they wait
    assert page.flags_o & PG_WANTED
    assert woken == []
    with locked(obj, vm.page_queue_lock):
        page_wakeup(vm, page)
    for thread in waiters:
        thread.join(30)

    assert woken == [0, 0, 0]
    assert not page.flags_o & (PG_BUSY | PG_WANTED)


def test_an_intent_survives_a_wakeup_between_it_and_the_block(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)
    with locked(obj, vm.page_queue_lock):
        page_busy(vm, page)
    with locked(obj):
        intent = PAGE_ASSERT_WAIT(vm, page)
    with locked(obj, vm.page_queue_lock):
        page_wakeup(vm, page)

    thread_block(vm, page, intent)  # would hang if the wakeup had been forgotten

    assert not page.flags_o & PG_BUSY


def test_a_busy_page_has_one_owner(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)

    with locked(obj, vm.page_queue_lock):
        page_busy(vm, page)
        with pytest.raises(Panic, match="busy already"):
            page_busy(vm, page)
        page_wakeup(vm, page)
        with pytest.raises(Panic, match="not busy"):
            page_wakeup(vm, page)
