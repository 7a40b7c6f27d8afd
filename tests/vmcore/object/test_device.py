"""Devices: fictitious pages that show a device's own memory, and are never queued nor freed."""

import pytest

from harness.errors import Panic
from tests.harness.actors import wait_until
from tests.vmcore.builders import alloc, locked, new_object
from tests.vmcore.builders_device import PAGES, clear, map_device, object_of, object_shown
from tests.vmcore.builders_files import show, store, thread
from tests.vmcore.builders_objects import empty_space, page_at, resident
from vmcore.audit.audit import audit
from vmcore.constants import (
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_DEVICE,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_FREE,
    PG_INACTIVE,
    PG_TABLED,
    PG_WANTED,
    VM_PAGER_BAD,
    VM_PAGER_OK,
    VM_PROT_NONE,
    VM_PROT_READ,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_pages import vm_object_deactivate_pages
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_lookup
from vmcore.page.page_queues import vm_page_deactivate, vm_page_unwire, vm_page_wire
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.pager.pager import vm_pager_get_pages, vm_pager_has_page, vm_pager_put_pages
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_deallocate
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.msync import vm_map_clean
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.vm_error import VmError


@pytest.fixture
def vm(vm_of):
    return vm_of(devices=2)


def test_every_mapper_of_a_device_reaches_the_same_frames(vm):
    (one, here), (two, there), (other, elsewhere) = map_device(vm), map_device(vm), map_device(vm, 2)
    free = vm.g.v_free_count

    store(vm, one, here + vm.page_size, 5)

    assert show(vm, two, there + vm.page_size) == 5
    assert show(vm, other, elsewhere + vm.page_size) == 0
    assert vm.g.v_free_count == free
    assert audit(vm) == []
    clear(vm, one, two, other)


def test_what_a_device_holds_outlives_its_object(vm):
    space, start = map_device(vm)
    store(vm, space, start, 7)
    clear(vm, space)

    space, start = map_device(vm)

    assert show(vm, space, start) == 7
    clear(vm, space)


def test_the_object_grows_as_far_as_it_is_mapped(vm):
    one, _ = map_device(vm, pages=2)
    obj = object_of(vm)
    assert obj.size == 2 * vm.page_size

    two, there = map_device(vm, pages=1, offset=PAGES - 1)

    assert obj.size == PAGES * vm.page_size
    store(vm, two, there, 3)
    assert resident(vm, obj) == [PAGES - 1]
    map_device(vm, pages=1, space=two)
    assert obj.size == PAGES * vm.page_size
    vm_object_deallocate(vm, obj)
    clear(vm, one, two)


def test_what_lies_beyond_the_device_is_refused(vm):
    space = empty_space(vm)
    for pages, offset in ((PAGES + 1, 0), (1, PAGES), (0, 0), (1, -1)):
        with pytest.raises(VmError) as refused:
            map_device(vm, pages=pages, offset=offset, space=space)
        assert refused.value.code == KERN_INVALID_ARGUMENT
    end = space_map(vm, space).max_offset
    with pytest.raises(VmError) as refused:
        map_device(vm, address=end - vm.page_size, space=space)
    assert refused.value.code == KERN_NO_SPACE

    clear(vm, space)


def test_without_records_nothing_changes(vm_of):
    vm = vm_of(pagers=1)
    vm.devices.views[1].pager = 0
    loose = vm.pagers.allocate()

    with pytest.raises(VmError) as refused:
        map_device(vm)

    assert refused.value.code == KERN_RESOURCE_SHORTAGE
    assert vm.devices.views[1].pager == 0
    vm.pagers.free(loose)


# --- the page, and what each operation does to it


def asked_for(vm, obj, index):
    """A page of the device that we asked the pager for: (our page before, its answer, what is there now)."""
    with locked(obj):
        page = alloc(vm, obj, index)
        vm_object_paging_begin(vm, obj)
    answer = vm_pager_get_pages(vm, vm.pagers(obj.pager), page, True)
    with locked(obj):
        return page, answer, vm_page_lookup(vm, obj, index * vm.page_size)


def let_go(vm, obj, page):
    with locked(obj):
        page.flags_o &= ~PG_FAKE
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)


def test_the_pager_puts_its_own_page_in_the_place_of_the_callers(vm):
    obj = object_of(vm, 2)
    free = vm.g.v_free_count

    page, answer, came = asked_for(vm, obj, 3)

    assert answer == VM_PAGER_OK
    assert came.slot == vm.config.pages + PAGES + 3 + 1
    assert came.flags_o == PG_FICTITIOUS | PG_BUSY | PG_CLEAN | PG_FAKE | PG_TABLED
    assert came.wire_count == 1
    assert page.flags_p & PG_FREE
    assert not page.flags_o
    assert (vm.g.v_free_count, obj.resident_page_count) == (free, 1)
    assert vm.pagers(obj.pager).devp_pglist == came.slot
    let_go(vm, obj, came)
    vm_object_deallocate(vm, obj)
    clear(vm)


def test_a_thread_that_waits_for_the_callers_page_finds_the_devices(vm):
    obj = object_of(vm)
    with locked(obj):
        page = alloc(vm, obj, 0)
        vm_object_paging_begin(vm, obj)
    space, start = map_device(vm)
    seen = []

    with thread(lambda: seen.append(show(vm, space, start))):
        wait_until(lambda: page.flags_o & PG_WANTED, "the sleep on the caller's page")
        assert vm_pager_get_pages(vm, vm.pagers(obj.pager), page, True) == VM_PAGER_OK
        came = page_at(vm, obj, 0)
        wait_until(lambda: came.flags_o & PG_WANTED, "the sleep on the device's page")
        assert not page.flags_o & (PG_WANTED | PG_BUSY)
        let_go(vm, obj, came)

    assert seen == [0]
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_the_pager_has_every_page_reads_none_beyond_and_writes_none(vm):
    obj = object_of(vm)
    pager = vm.pagers(obj.pager)
    assert pager.pg_type == PG_DEVICE
    assert vm_pager_has_page(vm, pager, (PAGES + 1) * vm.page_size)

    page, answer, came = asked_for(vm, obj, PAGES)

    assert answer == VM_PAGER_BAD
    assert came is page
    with pytest.raises(Panic, match="written out"):
        vm_pager_put_pages(vm, pager, page, True)
    let_go(vm, obj, page)
    vm_object_deallocate(vm, obj)
    clear(vm)


def test_no_queue_ever_gets_a_devices_page(vm):
    space, start = map_device(vm)
    store(vm, space, start, 5)
    obj = object_shown(vm)
    page = page_at(vm, obj, 0)
    with vm.page_queue_lock:
        vm_page_deactivate(vm, page)
        vm_page_wire(vm, page)
        vm_page_unwire(vm, page)

    assert not page.flags_p & (PG_ACTIVE | PG_INACTIVE)
    assert page.wire_count == 1
    assert audit(vm) == []
    clear(vm, space)


def test_wiring_a_device_counts_in_its_pages_only(vm):
    space, start = map_device(vm)
    main, end = space_map(vm, space), start + PAGES * vm.page_size

    assert vm_map_pageable(vm, main, start, end, True) == KERN_SUCCESS

    obj = object_shown(vm)
    assert resident(vm, obj) == list(range(PAGES))
    assert page_at(vm, obj, 2).wire_count == 2
    assert vm.g.v_wire_count == 0
    assert audit(vm) == []
    assert vm_map_pageable(vm, main, start, end, False) == KERN_SUCCESS
    assert page_at(vm, obj, 2).wire_count == 1
    assert audit(vm) == []
    clear(vm, space)


def test_a_wired_device_is_shared_with_a_child_too(vm):
    parent, start = map_device(vm, pages=2)
    main, end = space_map(vm, parent), start + 2 * vm.page_size
    assert vm_map_pageable(vm, main, start, end, True) == KERN_SUCCESS

    child = vmspace_fork(vm, parent)

    store(vm, child, start, 5)
    assert show(vm, parent, start) == 5
    assert page_at(vm, object_shown(vm), 0).wire_count == 2
    assert audit(vm) == []
    clear(vm, child, parent)


def test_rights_and_mappings_are_as_of_any_page(vm):
    space, start = map_device(vm)
    store(vm, space, start, 5)
    obj = object_of(vm)
    page = page_at(vm, obj, 0)
    with locked(obj):
        pmap_page_protect(vm, page, VM_PROT_NONE)
    assert page.pv_first == 0
    assert show(vm, space, start) == 5
    vm_map_protect(vm, space_map(vm, space), start, start + vm.page_size, VM_PROT_READ)
    assert not store(vm, space, start, 6)

    vm_deallocate(vm, space_map(vm, space), start, PAGES * vm.page_size)

    assert vm.mappings.in_use() == 0
    assert page.flags_o & PG_TABLED  # cached with its object
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_cleaning_a_device_neither_writes_nor_throws_away(vm):
    space, start = map_device(vm)
    store(vm, space, start, 5)

    vm_map_clean(vm, space_map(vm, space), start, start + vm.page_size, True, True)

    assert show(vm, space, start) == 5
    assert audit(vm) == []
    clear(vm, space)


def test_a_child_shares_the_device(vm):
    parent, start = map_device(vm)
    child = vmspace_fork(vm, parent)

    store(vm, child, start, 5)

    assert show(vm, parent, start) == 5
    clear(vm, parent, child)


def test_a_device_in_the_cache_keeps_its_pages_and_no_page_of_it_is_queued(vm):
    space, start = map_device(vm)
    for index in range(3):
        store(vm, space, start + index * vm.page_size, index)
    obj = object_of(vm)
    vmspace_exit(vm, space)
    vm_object_deallocate(vm, obj)
    assert obj.is_cached

    with locked(obj):
        vm_object_deactivate_pages(vm, obj)  # as the cache did already

    assert vm.g.v_inactive_count == vm.g.v_active_count == 0
    assert resident(vm, obj) == [0, 1, 2]
    assert vm.pagers(obj.pager).devp_pglist
    assert audit(vm) == []
    clear(vm)


def test_wired_and_busy_pages_of_a_cached_object_stay_off_the_queues(vm):
    obj = new_object(vm, 3)
    with locked(obj):
        pages = [alloc(vm, obj, index) for index in range(3)]
        for page in pages[:2]:
            page.flags_o &= ~PG_FAKE
            RELEASE_PAGE(vm, page)
    with vm.page_queue_lock:
        vm_page_wire(vm, pages[1])

    with locked(obj):
        vm_object_deactivate_pages(vm, obj)

    assert [page.flags_p & (PG_ACTIVE | PG_INACTIVE) for page in pages] == [PG_INACTIVE, 0, 0]
    with vm.page_queue_lock:
        vm_page_unwire(vm, pages[1])
    with locked(obj):
        RELEASE_PAGE(vm, pages[2])
    vm_object_deallocate(vm, obj)
