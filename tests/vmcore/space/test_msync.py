"""vm_map_clean: what reaches the file, what is read from it again, and what is never lost."""

import pytest

from tests.harness.actors import wait_until
from tests.vmcore.builders import failing, locked, owned_page
from tests.vmcore.builders_files import asleep, held, mapped, on_disk, put, show, store, thread
from tests.vmcore.builders_objects import (
    BASE,
    contents,
    empty_space,
    resident,
    space_of,
    swapped,
    top,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    VM_INHERIT_SHARE,
    VM_PROT_READ,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate
from vmcore.space.msync import vm_map_clean
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork

PAGES = 6


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(PAGES * 4096,) * 2)


def msync(vm, space, start, pages, sync=True, invalidate=False):
    return vm_map_clean(vm, space_map(vm, space), start, start + pages * vm.page_size, sync, invalidate)


def clear(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


@pytest.mark.parametrize("sync", [True, False])
def test_the_dirty_pages_of_the_range_reach_the_file_and_no_others(vm, sync):
    space, start = mapped(vm, PAGES, True)
    for page in range(PAGES):
        store(vm, space, start + page * vm.page_size, 10 + page)

    assert msync(vm, space, start + vm.page_size, 2, sync) == (KERN_SUCCESS, 0)

    assert [on_disk(vm, page) for page in range(PAGES)] == [0, 11, 12, 0, 0, 0]
    assert [show(vm, space, start + page * vm.page_size) for page in range(PAGES)] == [*range(10, 16)]
    assert audit(vm) == []
    clear(vm, space)


def test_a_page_is_written_again_after_the_next_store(vm):
    space, start = mapped(vm, 1, True)
    for value in (5, 6):
        store(vm, space, start, value)
        assert msync(vm, space, start, 1) == (KERN_SUCCESS, 0)
        assert on_disk(vm, 0) == value
    clear(vm, space)


def test_a_sharing_map_is_followed(vm):
    parent, start = mapped(vm, 2, True)
    child = vmspace_fork(vm, parent)  # both now point to a sharing map
    store(vm, child, start, 5)

    assert msync(vm, parent, start, 2) == (KERN_SUCCESS, 0)

    assert on_disk(vm, 0) == 5
    clear(vm, parent, child)


def test_anonymous_memory_goes_to_swap(vm):
    space = space_of(vm, 3)
    for page in range(3):
        write(vm, space, page, page + 1)

    assert msync(vm, space, BASE, 3) == (KERN_SUCCESS, 0)

    assert swapped(vm, top(vm, space)) == 3
    clear(vm, space)


def test_invalidation_never_touches_anonymous_memory(vm):
    space = space_of(vm, 3, inheritance=VM_INHERIT_SHARE)
    for page in range(3):
        write(vm, space, page, page + 1)
    vm_map_protect(vm, space_map(vm, space), BASE, BASE + 3 * vm.page_size, VM_PROT_READ)

    assert msync(vm, space, BASE, 3, invalidate=True) == (KERN_SUCCESS, 0)

    assert resident(vm, top(vm, space)) == [0, 1, 2]
    assert contents(vm, space, 3) == [1, 2, 3]
    clear(vm, space)


def test_after_invalidation_the_file_is_read_again(vm):
    space, start = mapped(vm, 2, True)
    store(vm, space, start, 5)
    show(vm, space, start + vm.page_size)
    put(vm, 1, 77)  # another program wrote to the file
    assert show(vm, space, start + vm.page_size) == 0

    assert msync(vm, space, start, 2, invalidate=True) == (KERN_SUCCESS, 0)

    assert vm.mappings.in_use() == 0
    assert [show(vm, space, start), show(vm, space, start + vm.page_size)] == [5, 77]
    clear(vm, space)


def test_without_write_access_no_store_of_another_is_thrown_away(vm):
    writer, here = mapped(vm, 2, True)
    reader, there = mapped(vm, 2, True)
    store(vm, writer, here, 5)
    show(vm, writer, here + vm.page_size)
    vm_map_protect(vm, space_map(vm, reader), there, there + 2 * vm.page_size, VM_PROT_READ)

    assert msync(vm, reader, there, 2, invalidate=True) == (KERN_SUCCESS, 1)

    assert on_disk(vm, 0) == 0  # not its to write
    assert show(vm, writer, here) == 5
    clear(vm, writer, reader)
    assert on_disk(vm, 0) == 5


def test_holes_are_refused_and_untouched_memory_is_not(vm):
    space = space_of(vm, 6)
    amap = space_map(vm, space)
    assert msync(vm, space, BASE, 6) == (KERN_SUCCESS, 0)  # the entry has no object
    write(vm, space, 0, 1)
    vm_deallocate(vm, amap, BASE + 2 * vm.page_size, vm.page_size)

    assert msync(vm, space, BASE, 6) == (KERN_INVALID_ADDRESS, 0)
    assert msync(vm, space, BASE + 4 * vm.page_size, 4) == (KERN_INVALID_ADDRESS, 0)
    assert msync(vm, empty_space(vm), BASE, 1) == (KERN_INVALID_ADDRESS, 0)
    assert vm_map_clean(vm, amap, BASE + 1, BASE + vm.page_size, True, False) == (KERN_INVALID_ARGUMENT, 0)

    assert swapped(vm, top(vm, space)) == 0
    vm_allocate(vm, amap, vm.page_size, BASE + 2 * vm.page_size)
    assert msync(vm, space, BASE + vm.page_size, 0) == (KERN_SUCCESS, 0)
    assert swapped(vm, top(vm, space)) == 0  # nothing is nothing, not everything
    assert msync(vm, space, BASE, 6) == (KERN_SUCCESS, 0)
    assert swapped(vm, top(vm, space)) == 1
    vmspace_exit(vm, space)


def test_an_error_leaves_the_page_dirty_and_is_reported(vm):
    space, start = mapped(vm, 2, True)
    store(vm, space, start, 5)
    vm.io.hook = failing("file_write")

    assert msync(vm, space, start, 2, invalidate=True) == (KERN_FAILURE, 1)

    assert show(vm, space, start) == 5
    vm.io.hook = None
    assert msync(vm, space, start, 2) == (KERN_SUCCESS, 0)
    assert on_disk(vm, 0) == 5
    clear(vm, space)


def test_the_map_is_unlocked_while_a_page_is_waited_for(vm):
    space, start = mapped(vm, 2, True)
    store(vm, space, start, 5)
    obj = held(vm)
    with locked(obj):
        page = owned_page(vm, obj, 0)

    with thread(msync, vm, space, start, 2):
        wait_until(lambda: asleep(obj.chan), "the sleep of msync")
        vm_allocate(vm, space_map(vm, space), vm.page_size)  # wants the map for itself
        with locked(obj):
            RELEASE_PAGE(vm, page)
            vm_object_paging_end(vm, obj)

    assert on_disk(vm, 0) == 5
    vm_object_deallocate(vm, obj)
    clear(vm, space)
