import pytest
from harness.errors import Panic
from tests.vmcore.builders_objects import live_objects, locked
from vmcore.audit import audit
from vmcore.constants import OBJ_INTERNAL, OBJ_WAITING
from vmcore.deallocate import vm_object_deallocate
from vmcore.object import vm_object_allocate, vm_object_reference
from vmcore.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.shadow import vm_object_shadow


def test_a_new_object_is_anonymous_empty_and_has_one_reference(vm):
    object = vm_object_allocate(vm, 3 * vm.page_size)

    assert (object.ref_count, object.flags, object.resident_page_count) == (1, OBJ_INTERNAL, 0)
    assert (object.size, object.shadow, object.pager, object.copy) == (3 * vm.page_size, 0, 0, 0)
    vm_object_deallocate(vm, object)


def test_the_last_release_frees_the_record_and_an_earlier_one_does_not(vm):
    before = live_objects(vm)
    object = vm_object_allocate(vm, vm.page_size)
    vm_object_reference(vm, object)

    vm_object_deallocate(vm, object)
    assert live_objects(vm) == before | {object.slot}

    vm_object_deallocate(vm, object)
    assert live_objects(vm) == before
    assert audit(vm) == []


def test_a_recycled_record_starts_clean(vm):
    first = vm_object_allocate(vm, 9 * vm.page_size)
    below = vm_object_allocate(vm, 9 * vm.page_size)
    front = vm_object_shadow(vm, below, 2 * vm.page_size, vm.page_size)
    for object in (first, front):
        vm_object_deallocate(vm, object)

    object = vm_object_allocate(vm, vm.page_size)

    assert (object.size, object.shadow, object.shadow_offset, object.shadowers_first) == (
        vm.page_size,
        0,
        0,
        0,
    )
    vm_object_deallocate(vm, object)
    assert audit(vm) == []


def test_releasing_the_front_releases_the_whole_chain_without_recursion(vm):
    before = live_objects(vm)
    object = vm_object_allocate(vm, vm.page_size)
    for _ in range(200):
        object = vm_object_shadow(vm, object, 0, vm.page_size)

    vm_object_deallocate(vm, object)

    assert live_objects(vm) == before
    assert vm.me.release_list == []


def test_an_unreferenced_object_cannot_be_referenced(vm):
    object = vm_object_allocate(vm, vm.page_size)
    object.ref_count = 0

    with pytest.raises(Panic, match="vm_object_lookup"):
        vm_object_reference(vm, object)

    assert not object.lock.held()
    object.ref_count = 1
    vm_object_deallocate(vm, object)


def test_the_paging_count_counts_and_wakes_at_zero_only(vm):
    object = vm_object_allocate(vm, vm.page_size)
    woken = object.chan.intend()
    with locked(object):
        vm_object_paging_begin(vm, object)
        vm_object_paging_begin(vm, object)
        object.flags |= OBJ_WAITING
        vm_object_paging_end(vm, object)
        assert object.chan.intend() == woken

        vm_object_paging_end(vm, object)

        assert object.chan.intend() != woken
        assert not object.flags & OBJ_WAITING
    vm_object_deallocate(vm, object)


def test_ending_more_than_was_begun_is_fatal(vm):
    object = vm_object_allocate(vm, vm.page_size)
    object.lock.acquire()

    with pytest.raises(Panic, match="underflows"):
        vm_object_paging_end(vm, object)

    object.lock.release()
    vm_object_deallocate(vm, object)
