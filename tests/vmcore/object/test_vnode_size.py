"""A mapped file gets shorter and longer: its pages, its size, and operations that are under way."""

import os
import threading

import pytest

from tests.harness.actors import wait_until
from tests.vmcore.builders import failing, locked, owned_page, stamp
from tests.vmcore.builders_files import (
    Gate,
    asleep,
    disk_size,
    held,
    mapped,
    on_disk,
    put,
    resize,
    show,
    store,
    thread,
    vnode,
)
from tests.vmcore.builders_objects import live_objects, resident
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    PG_WANTED,
)
from vmcore.object.deallocate import pager_cache, vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.vnode_size import vnode_pager_setsize, vnode_pager_uncache
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page import vm_page_lookup
from vmcore.page.page_queues import vm_page_unwire, vm_page_wire
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.space.access import vm_read, vm_write
from vmcore.space.vmspace import vmspace_exit

PAGES, LIMIT_S = 8, 60.0


@pytest.fixture
def vm(vm_of):
    """One file of eight pages, full of the numbers 100 to 107."""
    vm = vm_of(files=(PAGES * 4096,))
    for page in range(PAGES):
        put(vm, page, 100 + page)
    return vm


def beyond(vm, obj, end):
    """The resident pages from a page on; whole clusters may be read in."""
    return [page for page in resident(vm, obj) if page >= end]


def clear(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


# --- one at a time


def test_a_shorter_file_loses_its_pages_in_every_map(vm):
    (one, here), (two, there) = mapped(vm, PAGES, True), mapped(vm, PAGES, False)
    for page in range(PAGES):
        store(vm, one, here + page * vm.page_size, page)
        show(vm, two, there + page * vm.page_size)

    resize(vm, 3)

    for space, start in ((one, here), (two, there)):
        seen = [show(vm, space, start + page * vm.page_size) for page in range(PAGES)]
        assert seen == [0, 1, 2, None, None, None, None, None]
    assert not store(vm, one, here + 3 * vm.page_size, 1)
    assert disk_size(vm) == vnode(vm).v_size == 3 * vm.page_size
    obj = held(vm)
    assert (obj.size, resident(vm, obj)) == (3 * vm.page_size, [0, 1, 2])
    vm_object_deallocate(vm, obj)
    assert audit(vm) == []
    clear(vm, one, two)
    assert [on_disk(vm, page) for page in range(3)] == [0, 1, 2]
    assert disk_size(vm) == 3 * vm.page_size  # no page-out has made it longer again


def test_a_longer_file_shows_zeros_through_old_mappings(vm):
    space, start = mapped(vm, PAGES, True)
    store(vm, space, start + 5 * vm.page_size, 55)
    resize(vm, 4)

    resize(vm, PAGES)

    seen = [show(vm, space, start + page * vm.page_size) for page in range(PAGES)]
    assert seen == [100, 101, 102, 103, 0, 0, 0, 0]
    assert store(vm, space, start + 7 * vm.page_size, 77)
    assert audit(vm) == []
    clear(vm, space)
    assert [on_disk(vm, page) for page in (5, 7)] == [0, 77]


def test_a_private_copy_of_a_page_beyond_the_end_stays(vm):
    space, start = mapped(vm, PAGES, False)
    store(vm, space, start + 6 * vm.page_size, 66)

    resize(vm, 2)

    assert show(vm, space, start + 6 * vm.page_size) == 66
    assert show(vm, space, start + 5 * vm.page_size) is None
    clear(vm, space)


def test_the_rest_of_the_last_page_is_zeroed(vm):
    space, start = mapped(vm, PAGES, True)
    store(vm, space, start + vm.page_size, 5)

    assert vnode_pager_setsize(vm, vnode(vm), vm.page_size + 16) == KERN_SUCCESS

    expected = stamp(vm, 5)[:16] + bytes(vm.page_size - 16)
    assert vm_read(vm, space, start + vm.page_size) == expected
    resize(vm, PAGES)
    assert vm_read(vm, space, start + vm.page_size) == expected
    clear(vm, space)


def test_what_was_stored_behind_the_end_is_gone_when_the_file_grows(vm):
    assert vnode_pager_setsize(vm, vnode(vm), vm.page_size + 16) == KERN_SUCCESS
    space, start = mapped(vm, PAGES, True)
    vm_write(vm, space, start + vm.page_size, b"y" * vm.page_size)

    resize(vm, PAGES)

    expected = b"y" * 16 + bytes(vm.page_size - 16)
    assert vm_read(vm, space, start + vm.page_size) == expected
    clear(vm, space)
    assert os.pread(vm.files[0], vm.page_size, vm.page_size) == expected


def test_without_an_object_only_the_file_changes(vm):
    resize(vm, 2)
    assert (disk_size(vm), vnode(vm).v_size) == (2 * vm.page_size, 2 * vm.page_size)

    resize(vm, 3)

    assert live_objects(vm) == set()
    obj = held(vm)
    assert obj.size == 3 * vm.page_size
    pager_cache(vm, obj, False)


def test_a_cached_object_is_truncated_and_stays_cached(vm):
    space, start = mapped(vm, PAGES, True)
    store(vm, space, start + 4 * vm.page_size, 4)
    vmspace_exit(vm, space)
    assert vm.g.vm_object_cached == 1

    resize(vm, 2)

    assert vm.g.vm_object_cached == 1
    assert audit(vm) == []
    clear(vm)
    assert disk_size(vm) == 2 * vm.page_size


def test_wired_pages_stay_as_zeros(vm):
    space, start = mapped(vm, PAGES, True)
    assert show(vm, space, start + 5 * vm.page_size) == 105
    obj = held(vm)
    with locked(obj):
        page = vm_page_lookup(vm, obj, 5 * vm.page_size)
    assert page is not None
    with vm.page_queue_lock:
        vm_page_wire(vm, page)

    resize(vm, 2)

    assert (beyond(vm, obj, 2), obj.size) == ([5], 6 * vm.page_size)
    assert bytes(vm.frame(page.slot)) == vm.zeros
    with vm.page_queue_lock:
        vm_page_unwire(vm, page)
    resize(vm, 1)
    assert (beyond(vm, obj, 1), obj.size) == ([], vm.page_size)
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_a_disk_that_fails_changes_nothing(vm):
    space, start = mapped(vm, PAGES, True)
    store(vm, space, start + 7 * vm.page_size, 7)
    obj = held(vm)
    vm.io.hook = failing("file_truncate")

    for size in (0, 2 * PAGES * vm.page_size):
        assert vnode_pager_setsize(vm, vnode(vm), size) == KERN_FAILURE

    assert (obj.size, vnode(vm).v_size, disk_size(vm)) == (PAGES * vm.page_size,) * 3
    assert show(vm, space, start + 7 * vm.page_size) == 7
    assert vnode_pager_setsize(vm, vnode(vm), -1) == KERN_INVALID_ARGUMENT
    assert not vm.pagers(obj.pager).vnp_resizing
    vm_object_deallocate(vm, obj)
    vm.io.hook = None
    clear(vm, space)


# --- several at once


def test_a_truncation_waits_for_a_busy_page_without_the_vnode_lock(vm):
    obj = held(vm)
    with locked(obj):
        page = owned_page(vm, obj, 5)  # a page-in that was tested before the file became shorter

    with thread(resize, vm, 2):
        wait_until(lambda: page.flags_o & PG_WANTED, "the truncation's sleep")
        wait_until(lambda: not obj.lock.locked(), "the object lock")
        assert not vnode(vm).lock.locked()
        assert vnode(vm).v_size == 2 * vm.page_size  # refused from now on
        assert obj.size == PAGES * vm.page_size  # lowered last
        with locked(obj):
            RELEASE_PAGE(vm, page)
            vm_object_paging_end(vm, obj)

    assert (beyond(vm, obj, 2), obj.size) == ([], 2 * vm.page_size)
    vm_object_deallocate(vm, obj)
    clear(vm)


def test_a_fault_whose_page_is_cut_off_before_it_is_read_fails_in_order(vm):
    space, start = mapped(vm, PAGES, True)
    gate, seen = Gate(vm, "file_truncate"), []
    obj = held(vm)

    with thread(resize, vm, 2), thread(lambda: seen.append(show(vm, space, start + 5 * vm.page_size))):
        assert gate.reached.wait(LIMIT_S)  # the truncation has the vnode lock
        wait_until(lambda: 5 in resident(vm, obj), "the fault's busy page")
        gate.go.set()

    assert seen == [None]
    assert (beyond(vm, obj, 2), obj.size) == ([], 2 * vm.page_size)
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_a_page_that_is_just_being_read_goes_all_the_same(vm):
    space, start = mapped(vm, PAGES, True)
    gate, seen = Gate(vm, "file_read"), []
    obj = held(vm)

    with thread(lambda: seen.append(show(vm, space, start + 5 * vm.page_size))):
        assert gate.reached.wait(LIMIT_S)  # the page-in has the vnode lock and a busy page
        with thread(resize, vm, 2):
            gate.go.set()

    assert seen in ([105], [None])  # read before the end moved, or refused
    assert beyond(vm, obj, 2) == []
    assert show(vm, space, start + 5 * vm.page_size) is None
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_a_growth_waits_until_the_shrinking_before_it_is_over(vm):
    space, start = mapped(vm, PAGES, True)
    obj = held(vm)
    with locked(obj):
        page = owned_page(vm, obj, 5)
    sizes = []

    def grow():
        resize(vm, PAGES)
        sizes.append(obj.size)

    with thread(resize, vm, 2):
        wait_until(lambda: page.flags_o & PG_WANTED, "the truncation's sleep")
        with thread(grow):
            wait_until(lambda: asleep(vnode(vm).chan), "the growth's sleep")
            assert (vnode(vm).v_size, sizes) == (2 * vm.page_size, [])
            with locked(obj):
                RELEASE_PAGE(vm, page)
                vm_object_paging_end(vm, obj)

    assert (obj.size, disk_size(vm), sizes) == (PAGES * vm.page_size, PAGES * vm.page_size, [obj.size])
    assert show(vm, space, start + 5 * vm.page_size) == 0
    vm_object_deallocate(vm, obj)
    clear(vm, space)


@pytest.mark.parametrize("pages", [2, 2 * PAGES])
def test_the_last_reference_may_be_the_one_of_the_size_change(vm, pages):
    space, start = mapped(vm, PAGES, True)
    store(vm, space, start + vm.page_size, 201)
    assert not vnode_pager_uncache(vm, vnode(vm))  # it ends with its last reference
    gate = Gate(vm, "file_truncate")

    with thread(resize, vm, pages):
        assert gate.reached.wait(LIMIT_S)
        vmspace_exit(vm, space)
        assert len(live_objects(vm)) == 1
        gate.go.set()

    assert all_gone(vm) == []
    assert (on_disk(vm, 1), disk_size(vm)) == (201, pages * vm.page_size)
    assert not vnode(vm).v_vmdata


def test_a_dying_object_does_not_make_a_shorter_file_longer(vm):
    space, start = mapped(vm, PAGES, True)
    for page in range(PAGES):
        store(vm, space, start + page * vm.page_size, 200 + page)
    vmspace_exit(vm, space)
    gate = Gate(vm, "file_write")

    with thread(cache_clear, vm):
        assert gate.reached.wait(LIMIT_S)  # the terminator writes, and has the vnode lock
        with thread(resize, vm, 3):
            gate.go.set()

    assert disk_size(vm) == 3 * vm.page_size
    assert [on_disk(vm, page) for page in range(3)] == [200, 201, 202]
    assert all_gone(vm) == []


def test_late_writes_of_a_dying_object_do_not_return_when_a_file_grows(vm):
    """Cut and extended while the terminator is between two writes: the file is as long as it was."""
    space, start = mapped(vm, PAGES, True)
    for page in range(PAGES):
        store(vm, space, start + page * vm.page_size, 200 + page)
    vmspace_exit(vm, space)
    gate, over = Gate(vm, "none"), threading.Event()
    gate.kind = "put"
    vm.io.hook, vm.io.result_hook = None, gate  # asked without the vnode lock

    def cut():
        resize(vm, 3)
        resize(vm, PAGES)
        over.set()

    with thread(cache_clear, vm):
        assert gate.reached.wait(LIMIT_S)
        with thread(cut):
            wait_until(lambda: over.is_set() or asleep(vnode(vm).chan), "the cut")
            gate.go.set()

    assert [on_disk(vm, page) for page in range(PAGES)] == [200, 201, 202, 0, 0, 0, 0, 0]
    assert all_gone(vm) == []
