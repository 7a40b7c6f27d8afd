"""vm_object_page_remove: what goes, what stays, and what it waits for."""

import threading

import pytest

from tests.harness.actors import wait_until
from tests.vmcore.builders import drop_page, locked, new_object, new_page, owned_page
from tests.vmcore.builders_files import held, mapped, show, store
from tests.vmcore.builders_objects import page_at, resident
from vmcore.constants import PG_INACTIVE, PG_LAUNDRY, PG_WANTED
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_page_remove import vm_object_page_remove
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page_queues import vm_page_deactivate, vm_page_unwire, vm_page_wire
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.space.vmspace import vmspace_exit

LIMIT_S = 60.0


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(8 * 4096,))


def remove(vm, obj, first, end, **options):
    with locked(obj):
        return vm_object_page_remove(vm, obj, first * vm.page_size, end * vm.page_size, **options)


def test_the_pages_of_the_range_go_and_no_others(vm):
    obj = new_object(vm, 5)
    for index in range(5):
        new_page(vm, obj, index)
    free = vm.g.v_free_count

    assert remove(vm, obj, 1, 3) == 0

    assert resident(vm, obj) == [0, 3, 4]
    assert vm.g.v_free_count == free + 2
    remove(vm, obj, 0, 5)


def test_a_removed_page_is_out_of_every_map(vm):
    one, here = mapped(vm, 2, shared=True)
    two, there = mapped(vm, 2, shared=True)
    store(vm, one, here, 7)
    assert show(vm, two, there) == 7
    obj = held(vm)

    assert remove(vm, obj, 0, 2) == 0

    assert vm.mappings.in_use() == 0
    assert show(vm, two, there) == 0  # read from the file again, which never got the 7
    vm_object_deallocate(vm, obj)
    for space in (one, two):
        vmspace_exit(vm, space)
    cache_clear(vm)


def test_wired_pages_stay_and_are_counted(vm):
    obj = new_object(vm, 3)
    pages = [new_page(vm, obj, index) for index in range(3)]
    with vm.page_queue_lock:
        vm_page_wire(vm, pages[1])

    assert remove(vm, obj, 0, 3) == 1

    assert resident(vm, obj) == [1]
    with vm.page_queue_lock:
        vm_page_unwire(vm, pages[1])
    assert remove(vm, obj, 0, 3) == 0


def test_a_busy_page_is_waited_for_with_the_object_unlocked(vm):
    obj = new_object(vm, 3)
    for index in range(3):
        new_page(vm, obj, index)
    with locked(obj):
        page = owned_page(vm, obj, 1)
    left = []
    thread = threading.Thread(target=lambda: left.append(remove(vm, obj, 0, 3)), daemon=True)
    thread.start()
    wait_until(lambda: page.flags_o & PG_WANTED and not obj.lock.locked(), "the remover's sleep")

    assert resident(vm, obj) == [1, 2]  # it went as far as the busy page
    with locked(obj):
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)
    thread.join(LIMIT_S)

    assert left == [0]
    assert resident(vm, obj) == []


def test_dirty_pages_stay_when_they_are_to_be_spared(vm):
    obj = new_object(vm, 3)
    for index in range(3):
        new_page(vm, obj, index, index)
    with locked(obj):
        assert vm_object_page_clean(vm, obj, 0, 0, True, False)
    drop_page(vm, obj, 2)
    dirty = new_page(vm, obj, 2, 9)
    with vm.page_queue_lock:
        vm_page_deactivate(vm, dirty)

    assert remove(vm, obj, 0, 3, spare_dirty=True) == 1

    assert resident(vm, obj) == [2]
    assert dirty.flags_p & (PG_INACTIVE | PG_LAUNDRY) == PG_INACTIVE | PG_LAUNDRY
    remove(vm, obj, 0, 3)
    vm_object_deallocate(vm, obj)


def test_a_store_through_a_mapping_makes_a_page_dirty(vm):
    space, start = mapped(vm, 1, shared=True)
    show(vm, space, start)
    store(vm, space, start, 5)  # the modify bit, not CLEAN, knows about it
    obj = held(vm)

    assert remove(vm, obj, 0, 1, spare_dirty=True) == 1

    assert page_at(vm, obj, 0) is not None
    assert show(vm, space, start) == 5
    vm_object_deallocate(vm, obj)
    vmspace_exit(vm, space)
    cache_clear(vm)
