import threading

import pytest

from tests.vmcore.builders import locked, new_object, new_page, services
from tests.vmcore.builders_objects import (
    clean,
    contents,
    fill,
    fork,
    page_at,
    page_out_step,
    read,
    space_of,
    swapped,
    top,
    write,
)
from tests.waiting import join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_PAGERALLOC, OBJ_WAITING, PG_ACTIVE, PG_CLEAN, PG_INACTIVE, PG_LAUNDRY
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_pager import ensure_pager
from vmcore.object.object_pages import vm_object_deactivate_pages, vm_object_page_clean
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page_queues import page_dequeue
from vmcore.pmap.pmap import pmap_is_modified
from vmcore.space.vmspace import vmspace_exit

PATIENCE_S = 30.0


def clean_all(vm, obj, sync=True):
    with locked(obj):
        return vm_object_page_clean(vm, obj, 0, 0, sync, False)


def wait_for_sleeper(obj):
    """Until a thread waits for paging on the object."""
    for _ in range(1_000_000):
        if obj.flags & OBJ_WAITING:
            return
        threading.Event().wait(0)
    pytest.fail("no thread waits")


def test_a_cleaned_page_is_in_the_pager_and_stays_where_it_was(vm):
    obj = new_object(vm, 2)
    page = new_page(vm, obj, 1, 7)

    assert clean_all(vm, obj)

    assert swapped(vm, obj) == 1
    assert page.flags_o & PG_CLEAN
    assert page.flags_p & PG_ACTIVE
    vm_object_deallocate(vm, obj)
    assert all_gone(vm) == []


def test_only_pages_of_the_range_are_written(vm):
    obj = new_object(vm, 3)
    for index in range(3):
        new_page(vm, obj, index, index)

    with locked(obj):
        assert vm_object_page_clean(vm, obj, vm.page_size, 2 * vm.page_size, True, False)

    assert swapped(vm, obj) == 1
    assert page_at(vm, obj, 1).flags_o & PG_CLEAN
    vm_object_deallocate(vm, obj)


def test_a_store_after_a_clean_makes_the_page_dirty_again(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    assert clean(vm, space, 0, True)
    write(vm, space, 0, 2)

    page_out_step(vm)

    assert read(vm, space, 0) == 2
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_clean_removes_write_access_so_that_the_next_store_faults(vm):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})
    assert clean(vm, space, 0, True)
    pages = [page_at(vm, top(vm, space), index) for index in range(2)]
    faults = vm.me.stats.v_faults

    assert contents(vm, space, 2) == [1, 2]
    assert vm.me.stats.v_faults == faults
    write(vm, space, 0, 3)

    assert vm.me.stats.v_faults == faults + 1
    assert [bool(page.flags_o & PG_CLEAN) and not pmap_is_modified(vm, page) for page in pages] == [
        False,
        True,
    ]
    vmspace_exit(vm, space)


def test_a_failed_write_is_an_error_and_the_page_stays_dirty(vm, monkeypatch):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0, 7)
    monkeypatch.setattr(vm.io, "hook", lambda *_: False)

    assert not clean_all(vm, obj)

    monkeypatch.undo()
    assert not page.flags_o & PG_CLEAN
    assert swapped(vm, obj) == 0
    assert audit(vm) == audit_of_holder(obj)
    assert clean_all(vm, obj)
    vm_object_deallocate(vm, obj)
    assert all_gone(vm) == []


def audit_of_holder(obj):
    """The test itself holds the object's one reference, which the audit cannot know."""
    return [
        f"Q1: object {obj.slot} counts 1 references, but has 0 entries and 0 shadowers",
        f"Q2: object {obj.slot} is reachable from no entry",
    ]


def test_an_asynchronous_clean_leaves_page_and_count_to_the_completion(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2, 2: 3})
    with services(vm):
        assert clean(vm, space, 0, False)
        write(vm, space, 1, 20)

        assert contents(vm, space, 3) == [1, 20, 3]
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_clean_waits_once_for_traffic_and_then_goes_on(vm):
    obj = new_object(vm, 1)
    new_page(vm, obj, 0, 7)
    with locked(obj):
        vm_object_paging_begin(vm, obj)
    result: list[bool] = []
    thread = threading.Thread(target=lambda: result.append(clean_all(vm, obj)))
    thread.start()
    wait_for_sleeper(obj)
    assert result == []

    with locked(obj):
        vm_object_paging_end(vm, obj)

    join(thread)
    assert result == [True]
    vm_object_deallocate(vm, obj)


def test_a_clean_goes_on_although_the_object_is_never_idle(vm):
    obj = new_object(vm, 1)
    new_page(vm, obj, 0, 7)
    with locked(obj):
        vm_object_paging_begin(vm, obj)
    result: list[bool] = []
    thread = threading.Thread(target=lambda: result.append(clean_all(vm, obj)), daemon=True)
    thread.start()
    wait_for_sleeper(obj)

    with locked(obj):
        vm_object_paging_begin(vm, obj)
        vm_object_paging_end(vm, obj)

    thread.join(PATIENCE_S)
    assert result == [True]
    assert obj.paging_in_progress == 1
    with locked(obj):
        vm_object_paging_end(vm, obj)
    vm_object_deallocate(vm, obj)
    assert all_gone(vm) == []


def test_a_clean_that_meets_a_pager_being_allocated_gets_none(vm):
    obj = new_object(vm, 1)
    with locked(obj):
        obj.flags |= OBJ_PAGERALLOC
        assert not ensure_pager(vm, obj)
        obj.flags &= ~OBJ_PAGERALLOC

        assert ensure_pager(vm, obj)
        assert ensure_pager(vm, obj)

    assert vm.pagers.in_use() == 1
    vm_object_deallocate(vm, obj)
    assert all_gone(vm) == []


def test_a_clean_of_an_object_without_pager_tries_to_inherit_one(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    child = fork(vm, parent)
    write(vm, parent, 0, 10)
    front, back = top(vm, parent), top(vm, child)
    with locked(back):
        assert ensure_pager(vm, back)
        back.paging_in_progress += 1  # keeps the exit's collapse away
    pager = back.pager
    vmspace_exit(vm, child)
    back.paging_in_progress -= 1

    assert clean(vm, parent, 0, True)

    assert front.pager == pager
    assert contents(vm, parent, 2) == [10, 2]
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


@pytest.mark.parametrize("dirty", [False, True])
def test_deactivating_touches_active_pages_only(vm, dirty):
    obj = new_object(vm, 2)
    first, second = new_page(vm, obj, 0), new_page(vm, obj, 1)
    if not dirty:
        assert clean_all(vm, obj)
    with locked(vm.page_queue_lock):
        page_dequeue(vm, second)

    with locked(obj):
        vm_object_deactivate_pages(vm, obj)

    assert first.flags_p == PG_INACTIVE | (PG_LAUNDRY if dirty else 0)
    assert second.flags_p == 0
    vm_object_deallocate(vm, obj)
