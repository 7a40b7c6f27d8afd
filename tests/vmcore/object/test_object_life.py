import pytest

from harness.errors import Panic
from tests.vmcore.builders import locked, new_object
from tests.vmcore.builders_objects import live_objects, shadow_of
from vmcore.audit.audit import audit
from vmcore.constants import OBJ_DRAINING, OBJ_INTERNAL, OBJ_WAITING
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end, vm_object_paging_turn


def test_a_new_object_is_anonymous_empty_and_has_one_reference(vm):
    obj = new_object(vm, 3)

    assert (obj.ref_count, obj.flags, obj.resident_page_count) == (1, OBJ_INTERNAL, 0)
    assert (obj.size, obj.shadow, obj.pager, obj.copy) == (3 * vm.page_size, 0, 0, 0)
    vm_object_deallocate(vm, obj)


def test_the_last_release_frees_the_record_and_an_earlier_one_does_not(vm):
    before = live_objects(vm)
    obj = new_object(vm, 1)
    vm_object_reference(vm, obj)

    vm_object_deallocate(vm, obj)
    assert live_objects(vm) == before | {obj.slot}

    vm_object_deallocate(vm, obj)
    assert live_objects(vm) == before
    assert audit(vm) == []


def test_a_recycled_record_starts_clean(vm):
    first = new_object(vm, 9)
    below = new_object(vm, 9)
    front = shadow_of(vm, below, 2 * vm.page_size, 1)
    for obj in (first, front):
        vm_object_deallocate(vm, obj)

    obj = new_object(vm, 1)

    assert (obj.size, obj.shadow, obj.shadow_offset, obj.shadowers_first) == (
        vm.page_size,
        0,
        0,
        0,
    )
    vm_object_deallocate(vm, obj)
    assert audit(vm) == []


def test_releasing_the_front_releases_the_whole_chain_without_recursion(vm):
    before = live_objects(vm)
    obj = new_object(vm, 1)
    for _ in range(200):
        obj = shadow_of(vm, obj, 0, 1)

    vm_object_deallocate(vm, obj)

    assert live_objects(vm) == before
    assert vm.me.release_list == []


def test_an_unreferenced_object_cannot_be_referenced(vm):
    obj = new_object(vm, 1)
    obj.ref_count = 0

    with pytest.raises(Panic, match="vm_object_lookup"):
        vm_object_reference(vm, obj)

    assert not obj.lock.held()
    obj.ref_count = 1
    vm_object_deallocate(vm, obj)


def test_the_paging_count_counts_and_wakes_at_zero_only(vm):
    obj = new_object(vm, 1)
    woken = obj.chan.intend()
    with locked(obj):
        vm_object_paging_begin(vm, obj)
        vm_object_paging_begin(vm, obj)
        obj.flags |= OBJ_WAITING
        vm_object_paging_end(vm, obj)
        assert obj.chan.intend() == woken

        vm_object_paging_end(vm, obj)

        assert obj.chan.intend() != woken
        assert not obj.flags & OBJ_WAITING
    vm_object_deallocate(vm, obj)


def test_a_thread_that_waits_for_a_turn_is_woken_by_any_end(vm):
    obj = new_object(vm, 1)
    woken = obj.chan.intend()
    with locked(obj):
        vm_object_paging_begin(vm, obj)
        vm_object_paging_begin(vm, obj)
        obj.flags |= OBJ_WAITING | OBJ_DRAINING

        vm_object_paging_end(vm, obj)

        assert obj.chan.intend() != woken
        assert not obj.flags & (OBJ_WAITING | OBJ_DRAINING)
        assert obj.paging_in_progress == 1
        vm_object_paging_end(vm, obj)
    vm_object_deallocate(vm, obj)


def test_a_turn_is_not_waited_for_when_the_count_is_zero(vm):
    obj = new_object(vm, 1)

    with locked(obj):
        vm_object_paging_turn(vm, obj, "vospgc")

        assert not obj.flags & (OBJ_WAITING | OBJ_DRAINING)
    vm_object_deallocate(vm, obj)


def test_ending_more_than_was_begun_is_fatal(vm):
    obj = new_object(vm, 1)
    obj.lock.acquire()

    with pytest.raises(Panic, match="underflows"):
        vm_object_paging_end(vm, obj)

    obj.lock.release()
    vm_object_deallocate(vm, obj)
