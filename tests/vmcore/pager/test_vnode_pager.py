"""Files as memory: their one object, page-ins up to the end, writes no further, dying pagers."""

import os
import threading

import pytest

import vmcore.object.vnode
from tests.vmcore.builders import alloc, drop_page, failing, load, locked, new_page, owned_page, stamp
from vmcore.constants import OBJ_INTERNAL, PG_VNODE, VM_PAGER_BAD, VM_PAGER_ERROR, VM_PAGER_OK
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page_wait import FREE_PAGE, RELEASE_PAGE
from vmcore.pager.pager import vm_pager_get_pages, vm_pager_has_page, vm_pager_put_pages
from vmcore.pager.vnode_pager import vnode_pager_dealloc

SIZE = 2 * 4096 + 100  # three pages, the last one almost empty


def object_of(vm, vnode):
    obj = vnode_pager_alloc(vm, vnode)
    assert obj is not None
    return obj


@pytest.fixture
def file(vm_of):
    """A VM with one file of two pages and 100 bytes."""
    vm = vm_of(files=(SIZE,))
    os.pwrite(vm.files[0], stamp(vm, 1) + stamp(vm, 2) + b"x" * 100, 0)
    return vm, vm.vnodes.views[1]


def test_a_file_has_one_object_for_all_that_ask(file):
    vm, vnode = file

    one, two = object_of(vm, vnode), object_of(vm, vnode)

    assert one is two
    assert one.ref_count == 2
    assert one.size == 3 * vm.page_size
    assert not one.flags & OBJ_INTERNAL
    pager = vm.pagers(one.pager)
    assert (pager.pg_type, vm.vnodes(pager.pg_handle), vm.objects(pager.pg_object)) == (PG_VNODE, vnode, one)
    assert vnode.v_usecount == 2


def test_pages_are_the_files_bytes_and_zero_beyond_its_end(file):
    vm, vnode = file
    obj = object_of(vm, vnode)

    assert [load(vm, obj, i) for i in range(2)] == [1, 2]
    with locked(obj):
        vm.frames[vm.g.free_first][:] = b"\xff" * vm.page_size  # the frame that comes next
        page = owned_page(vm, obj, 2)
        data = bytes(vm.frame(page.slot))
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)

    assert data == b"x" * 100 + bytes(vm.page_size - 100)


def test_offsets_beyond_the_end_are_refused(file):
    vm, vnode = file
    obj = object_of(vm, vnode)
    pager = vm.pagers(obj.pager)
    with locked(obj):
        page = alloc(vm, obj, 3)

    assert vm_pager_get_pages(vm, pager, page, True) == VM_PAGER_BAD
    assert vm_pager_put_pages(vm, pager, page, True) == VM_PAGER_BAD
    assert [vm_pager_has_page(vm, pager, i * vm.page_size) for i in range(4)] == [True, True, True, False]

    with locked(obj):
        FREE_PAGE(vm, page)
    assert os.fstat(vm.files[0]).st_size == SIZE


def test_the_page_that_begins_where_the_file_ends_is_beyond_it(vm_of):
    vm = vm_of(files=(4096,))
    obj = object_of(vm, vm.vnodes.views[1])
    pager = vm.pagers(obj.pager)
    with locked(obj):
        page = alloc(vm, obj, 1)

    assert vm_pager_put_pages(vm, pager, page, True) == VM_PAGER_BAD
    assert vm_pager_get_pages(vm, pager, page, True) == VM_PAGER_BAD
    assert not vm_pager_has_page(vm, pager, vm.page_size)

    with locked(obj):
        FREE_PAGE(vm, page)
    vm_object_deallocate(vm, obj)
    cache_clear(vm)


@pytest.mark.parametrize("sync", [True, False])
def test_a_write_is_synchronous_and_does_not_make_the_file_longer(file, sync):
    vm, vnode = file
    obj = object_of(vm, vnode)
    with locked(obj):
        page = owned_page(vm, obj, 2)
    vm.frame(page.slot)[:] = b"y" * vm.page_size

    assert vm_pager_put_pages(vm, vm.pagers(obj.pager), page, sync) == VM_PAGER_OK

    with locked(obj):
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)
    assert os.fstat(vm.files[0]).st_size == SIZE
    assert os.pread(vm.files[0], 200, 2 * vm.page_size) == b"y" * 100


def test_a_failing_disk_is_an_error_and_the_vnode_is_unlocked(file):
    vm, vnode = file
    obj = object_of(vm, vnode)
    page = new_page(vm, obj, 0)
    vm.io.hook = failing()

    assert vm_pager_get_pages(vm, vm.pagers(obj.pager), page, True) == VM_PAGER_ERROR
    assert vm_pager_put_pages(vm, vm.pagers(obj.pager), page, True) == VM_PAGER_ERROR

    assert not vnode.lock.locked()


def test_a_released_file_object_is_found_again_with_its_pages(file):
    vm, vnode = file
    obj = object_of(vm, vnode)
    assert load(vm, obj, 1) == 2
    vm_object_deallocate(vm, obj)

    again = object_of(vm, vnode)

    assert again is obj
    assert (again.ref_count, again.resident_page_count) == (1, 1)
    drop_page(vm, again, 1)


def test_after_the_cache_is_cleared_the_file_gets_a_new_object(file):
    vm, vnode = file
    vm_object_deallocate(vm, object_of(vm, vnode))

    cache_clear(vm)

    assert (vnode.v_vmdata, vnode.v_usecount, vm.pagers.in_use()) == (0, 1, 0)
    obj = object_of(vm, vnode)
    assert obj.ref_count == 1
    assert load(vm, obj, 0) == 1


def test_a_fault_at_a_dying_pager_waits_without_the_vnode_lock(file, monkeypatch):
    vm, vnode = file
    dying = vm.pagers.allocate_or_raise()
    dying.pg_type, dying.pg_handle = PG_VNODE, vm.vnodes.ref(vnode)
    vnode.v_vmdata = vm.pagers.ref(dying)  # no object is findable under it
    vnode.v_usecount += 1
    asked, found = threading.Event(), []
    lookup = vars(vmcore.object.vnode)["vm_object_lookup"]

    def ask(vm, pager):
        result = lookup(vm, pager)
        asked.set()
        return result

    monkeypatch.setattr(vmcore.object.vnode, "vm_object_lookup", ask)
    thread = threading.Thread(target=lambda: found.append(object_of(vm, vnode)), daemon=True)
    thread.start()
    assert asked.wait(30)  # it has found nothing, and holds the vnode lock until it sleeps

    vnode_pager_dealloc(vm, dying)  # takes the vnode lock
    thread.join(30)

    assert found[0] is not None
    assert vm.pagers(vnode.v_vmdata).pg_object == vm.objects.ref(found[0])


def test_without_records_nothing_changes(vm_of):
    vm = vm_of(files=(4096,), pagers=1)
    vm.pagers.allocate()

    assert vnode_pager_alloc(vm, vm.vnodes.views[1]) is None

    assert (vm.vnodes.views[1].v_vmdata, vm.g.vm_object_count) == (0, 2)


def test_the_store_has_no_name(vm_of, tmp_path):
    vm = vm_of(files=(4096,), directory=str(tmp_path))

    assert list(tmp_path.iterdir()) == []
    assert os.fstat(vm.files[0]).st_size == 4096
