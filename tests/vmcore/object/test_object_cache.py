"""File objects: found by name, kept without users, written when they end."""

import os

import pytest

from tests.vmcore.builders import stamp
from tests.vmcore.builders_objects import empty_space, live_objects, number
from vmcore.audit.audit import all_gone, audit
from vmcore.object.deallocate import pager_cache, vm_object_deallocate
from vmcore.object.object_cache import cache_clear, cache_trim, vm_object_enter, vm_object_lookup
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.structs import VmObject


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(65536, 65536, 65536))


def vnode(vm, number):
    return vm.vnodes.views[number]


def object_of_file(vm, number) -> VmObject:
    found = vnode_pager_alloc(vm, vnode(vm, number))
    assert found is not None
    return found


def map_file(vm, file, pages, shared):
    space = empty_space(vm)
    start = vm_map_file(vm, space_map(vm, space), vnode(vm, file), pages * vm.page_size, 0, shared)
    return space, start


def put(vm, file, page, value):
    os.pwrite(vm.files[file - 1], stamp(vm, value), page * vm.page_size)


def on_disk(vm, file, page):
    return number(os.pread(vm.files[file - 1], vm.page_size, page * vm.page_size))


def test_a_private_mapping_shows_the_file_and_keeps_its_writes(vm):
    put(vm, 1, 0, 5)
    space, start = map_file(vm, 1, 2, shared=False)

    assert number(vm_read(vm, space, start)) == 5
    vm_write(vm, space, start, stamp(vm, 6))

    assert number(vm_read(vm, space, start)) == 6
    vmspace_exit(vm, space)
    cache_clear(vm)
    assert on_disk(vm, 1, 0) == 5
    assert all_gone(vm) == []


def test_a_private_page_follows_the_file_until_it_is_written(vm):
    put(vm, 1, 0, 5)
    private, here = map_file(vm, 1, 2, shared=False)
    shared, there = map_file(vm, 1, 2, shared=True)
    assert number(vm_read(vm, private, here)) == 5

    vm_write(vm, shared, there, stamp(vm, 7))
    assert number(vm_read(vm, private, here)) == 7
    vm_write(vm, private, here, stamp(vm, 8))
    vm_write(vm, shared, there, stamp(vm, 9))

    assert number(vm_read(vm, private, here)) == 8
    for space in (private, shared):
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert on_disk(vm, 1, 0) == 9
    assert all_gone(vm) == []


def test_an_object_without_users_stays_and_its_pages_are_found_again(vm):
    put(vm, 1, 0, 5)
    space, start = map_file(vm, 1, 1, shared=False)
    vm_read(vm, space, start)
    pageins = vm.me.stats.v_pageins
    vmspace_exit(vm, space)
    assert vm.g.vm_object_cached == 1
    assert audit(vm) == []

    space, start = map_file(vm, 1, 1, shared=False)

    assert vm.g.vm_object_cached == 0
    assert number(vm_read(vm, space, start)) == 5
    assert vm.me.stats.v_pageins == pageins
    vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


def test_the_least_recently_used_objects_are_trimmed_first(vm):
    slots = []
    for file in (1, 2, 3):
        space, start = map_file(vm, file, 1, shared=False)
        vm_read(vm, space, start)
        vmspace_exit(vm, space)
        slots.append(vm.g.cached_last)
    assert vm.g.vm_object_cached == 3

    assert cache_trim(vm, 1) == 2

    assert live_objects(vm) == {slots[2]}
    assert audit(vm) == []
    cache_clear(vm)
    assert all_gone(vm) == []


def test_a_dirty_page_is_written_when_its_object_ends(vm):
    space, start = map_file(vm, 2, 1, shared=True)
    vm_write(vm, space, start, stamp(vm, 77))
    vmspace_exit(vm, space)
    assert on_disk(vm, 2, 0) != 77

    cache_clear(vm)

    assert on_disk(vm, 2, 0) == 77


def test_pager_cache_decides_whether_an_object_outlives_its_user(vm):
    obj = object_of_file(vm, 1)
    pager_cache(vm, obj, False)
    assert live_objects(vm) == set()

    obj = object_of_file(vm, 1)
    pager_cache(vm, obj, True)
    assert live_objects(vm) == {obj.slot}
    cache_clear(vm)
    assert all_gone(vm) == []


def test_without_an_object_or_a_pager_there_is_nothing_to_enter(vm):
    obj = object_of_file(vm, 1)
    pager = vm.pagers(obj.pager)

    vm_object_enter(vm, None, pager)
    vm_object_enter(vm, obj, None)

    found = vm_object_lookup(vm, pager)
    assert (found, obj.ref_count) == (obj, 2)
    for _ in range(2):
        vm_object_deallocate(vm, obj)
    cache_clear(vm)
    assert all_gone(vm) == []


def test_two_users_of_a_file_get_one_object(vm):
    first = object_of_file(vm, 1)
    second = object_of_file(vm, 1)

    assert first is second
    assert first.ref_count == 2
    found = vm_object_lookup(vm, vm.pagers(first.pager))
    assert found is first
    for _ in range(3):
        pager_cache(vm, first, False)
    assert all_gone(vm) == []


@pytest.mark.parametrize("shared", [False, True])
def test_a_child_inherits_a_file_mapping(vm, shared):
    put(vm, 3, 0, 5)
    parent, start = map_file(vm, 3, 1, shared=shared)
    child = vmspace_fork(vm, parent)

    vm_write(vm, child, start, stamp(vm, 6))

    assert number(vm_read(vm, parent, start)) == (6 if shared else 5)
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert on_disk(vm, 3, 0) == (6 if shared else 5)
    assert all_gone(vm) == []
