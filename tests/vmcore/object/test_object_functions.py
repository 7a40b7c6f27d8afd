"""Functions of the object layer that the larger tests only pass through, each by its own contract."""

import pytest

from harness.errors import Panic, TableFull
from tests.vmcore.builders import alloc, locked, new_object, new_page
from tests.vmcore.builders_objects import fill, fork, page_at, read, space_of, top, write
from tests.vmcore.fault.test_fault import in_thread
from tests.waiting import join, wait_until
from vmcore.constants import OBJ_CANPERSIST, OBJ_INTERNAL, OBJ_WAITING, PG_COPYONWRITE, PG_SWAP
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_allocate, vm_object_setpager
from vmcore.object.object_cache import vm_object_enter, vm_object_lookup, vm_object_remove
from vmcore.object.object_pages import vm_object_page_clean, vm_object_pmap_copy, vm_object_pmap_remove
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end, vm_object_paging_wait
from vmcore.page.page import frame_alloc, frame_free
from vmcore.page.page_wait import FREE_PAGE
from vmcore.pager.pager import vm_pager_allocate, vm_pager_count
from vmcore.space.vmspace import vmspace_exit


def test_the_kernel_objects_are_the_first_two_and_take_the_last_frames(vm):
    kernel = [vm.objects(vm.g.kernel_object), vm.objects(vm.g.kmem_object)]
    assert [(obj.slot, obj.ref_count, obj.resident_page_count) for obj in kernel] == [(1, 1, 0), (2, 1, 0)]
    taken = []
    while (page := frame_alloc(vm, vm.g.v_free_reserved)) is not None:
        taken.append(page)
    stranger = new_object(vm, 1)

    with locked(stranger), pytest.raises(AssertionError):
        alloc(vm, stranger, 0)
    with locked(kernel[0]):
        FREE_PAGE(vm, alloc(vm, kernel[0], 0))

    for page in taken:
        frame_free(vm, page)
    vm_object_deallocate(vm, stranger)


def test_there_is_no_kernel_object_without_records(vm_of):
    with pytest.raises(TableFull, match="vm_objects"):
        vm_of(objects=1)


def test_a_new_object_counts_the_pages_that_it_may_get(vm):
    before = vm.me.stats.v_nzfod
    obj = vm_object_allocate(vm, 5 * vm.page_size)
    assert obj is not None

    assert (obj.size, obj.ref_count, obj.flags) == (5 * vm.page_size, 1, OBJ_INTERNAL)
    assert vm.me.stats.v_nzfod == before + 5
    vm_object_deallocate(vm, obj)


def test_pmap_copy_makes_a_range_read_only_in_every_map(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    obj = top(vm, parent)
    faults = vm.me.stats.v_faults

    vm_object_pmap_copy(vm, obj, vm.page_size, 2 * vm.page_size)
    for page in range(3):
        write(vm, parent, page, 7)

    assert vm.me.stats.v_faults == faults + 1, "only the page of the range was protected"
    assert not page_at(vm, obj, 0).flags_o & PG_COPYONWRITE
    vm_object_pmap_copy(vm, None, 0, 1)
    vmspace_exit(vm, parent)


def test_pmap_remove_unmaps_a_range_from_every_map_and_keeps_the_pages(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    child = fork(vm, parent)
    assert [read(vm, one, 0) for one in (parent, child)] == [1, 1]
    obj, faults = top(vm, parent), vm.me.stats.v_faults

    vm_object_pmap_remove(vm, obj, 0, vm.page_size)

    assert not page_at(vm, obj, 0).pv_first
    assert page_at(vm, obj, 1).pv_first
    assert [read(vm, one, 0) for one in (parent, child)] == [1, 1]
    assert vm.me.stats.v_faults == faults + 2
    vm_object_pmap_remove(vm, None, 0, 1)
    for one in (parent, child):
        vmspace_exit(vm, one)


def test_an_object_is_found_from_enter_to_remove(vm):
    obj, pager = new_object(vm, 1), vm_pager_allocate(vm, PG_SWAP, 0, vm.page_size)
    assert pager is not None
    with pytest.raises(Panic, match="before its pager"):
        vm_object_enter(vm, obj, pager)
    obj.lock.release()
    with locked(obj):
        vm_object_setpager(vm, obj, pager, 0)
    assert vm_object_lookup(vm, pager) is None

    vm_object_enter(vm, obj, pager)

    assert obj.flags & OBJ_CANPERSIST
    assert vm_object_lookup(vm, pager) is obj
    assert obj.ref_count == 2
    with locked(vm.cache_lock, obj):
        vm_object_remove(vm, None)  # what every anonymous termination asks: nothing is lost
        assert obj.is_hashed
        vm_object_remove(vm, pager)
        obj.flags &= ~OBJ_CANPERSIST
    assert vm_object_lookup(vm, pager) is None
    vm_object_deallocate(vm, obj)
    vm_object_deallocate(vm, obj)
    assert vm_object_enter(vm, None, None) is None


def test_waiting_for_paging_ends_when_the_last_share_does(vm):
    obj = new_object(vm, 1)
    with locked(obj):
        vm_object_paging_wait(vm, obj)  # no thread pages: no wait
        vm_object_paging_begin(vm, obj)
        vm_object_paging_begin(vm, obj)

    def wait():
        with locked(obj):
            vm_object_paging_wait(vm, obj)
            return obj.paging_in_progress

    thread, result = in_thread(wait)

    def with_waiter():
        with locked(obj):
            return bool(obj.flags & OBJ_WAITING)

    wait_until(with_waiter, "the waiter")
    with locked(obj):
        vm_object_paging_end(vm, obj)
    assert not result
    with locked(obj):
        vm_object_paging_end(vm, obj)
    join(thread)

    assert result == [0]
    vm_object_deallocate(vm, obj)


def test_a_pager_counts_what_it_holds(vm):
    obj = new_object(vm, 2)
    new_page(vm, obj, 0, 4)
    pager = vm_pager_allocate(vm, PG_SWAP, 0, 2 * vm.page_size)
    assert pager is not None
    with locked(obj):
        vm_object_setpager(vm, obj, pager, 0)
    assert vm_pager_count(vm, pager) == 0

    with locked(obj):
        assert vm_object_page_clean(vm, obj, 0, 0, True, False)

    assert vm_pager_count(vm, pager) == 1
    vm_object_deallocate(vm, obj)
