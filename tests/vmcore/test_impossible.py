"""What cannot be is said where it is met, in words, before anything is built on it."""

import pytest

from harness.errors import Panic
from tests.vmcore.builders import locked, new_object, new_page
from tests.vmcore.builders_files import held, mapped, vnode
from tests.vmcore.builders_objects import entry_at, fork, space_of, va
from vmcore.constants import KERN_SUCCESS, OBJ_DYING, VM_INHERIT_SHARE
from vmcore.map.unwire import shared_part
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import link_shadower, unlink_shadower
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_copy import nothing_pushed
from vmcore.page.object_paging import PIP_LIMIT, vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page_wait import clear_busy, page_busy
from vmcore.space.map_user import vm_map_file
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_share


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4096,))


@pytest.mark.parametrize("pages", [0, -2, 2], ids=["half before", "all before", "all behind"])
def test_a_wired_entry_whose_sharing_map_does_not_end_with_it(vm, pages):
    space = space_of(vm, 4, inheritance=VM_INHERIT_SHARE)
    child = fork(vm, space)
    start, end = va(vm, 2), va(vm, 4)
    assert vm_map_pageable(vm, space_map(vm, space), start, end, True) == KERN_SUCCESS
    entry = entry_at(vm, space, 2)
    share, offset = vm.sharing_maps(entry.object), entry.offset
    assert len(shared_part(vm, share, entry)) == 1

    entry.offset = offset - vm.page_size if not pages else offset + 2 * pages * vm.page_size
    with pytest.raises(Panic, match="ends within"):
        shared_part(vm, share, entry)

    entry.offset = offset
    for one in (space, child):
        vmspace_exit(vm, one)


@pytest.mark.parametrize(("field", "value"), [("ref_count", 0), ("flags", OBJ_DYING)])
def test_a_source_that_names_a_dying_copy(vm, field, value):
    writer, _ = mapped(vm, 1, True)
    snapshot = space_of(vm, 1)
    vm_map_file(vm, space_map(vm, snapshot), vnode(vm), vm.page_size, 0, False, copy=True)
    source = held(vm)
    copy = vm.objects(source.copy)
    with locked(copy, source):
        assert nothing_pushed(source, copy)
        kept = getattr(copy, field)

        setattr(copy, field, value)
        with pytest.raises(Panic, match="dying copy"):
            nothing_pushed(source, copy)

        setattr(copy, field, kept)
    vm_object_deallocate(vm, source)
    vmspace_exit(vm, snapshot)
    vmspace_exit(vm, writer)
    cache_clear(vm)


def test_a_shadower_of_another_object(vm):
    backing, one, two, other = (new_object(vm, 1) for _ in range(4))
    with locked(backing):
        for shadower in (one, two):
            link_shadower(vm, shadower, backing)

        with pytest.raises(Panic, match="not among the shadowers"):
            unlink_shadower(vm, other, backing)

        for shadower in (one, two):  # the last of the list, then the first
            unlink_shadower(vm, shadower, backing)
            assert (shadower.shadowers_next, shadower.shadowers_prev) == (0, 0)
        assert not backing.shadowers_first
    for obj in (backing, one, two, other):
        vm_object_deallocate(vm, obj)


def test_a_space_without_users_is_not_shared(vm):
    space = space_of(vm, 1)
    space.vm_refcnt = 0

    with pytest.raises(Panic, match="last user"):
        vmspace_share(vm, space)

    assert space.vm_refcnt == 0
    space.lock.release()
    space.vm_refcnt = 1
    vmspace_exit(vm, space)


def test_paging_counts_and_busy_pages_out_of_turn(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)
    with locked(obj):
        with pytest.raises(Panic, match="underflows"):
            vm_object_paging_end(vm, obj)
        obj.paging_in_progress = PIP_LIMIT
        with pytest.raises(Panic, match="overflows"):
            vm_object_paging_begin(vm, obj)
        obj.paging_in_progress = 0
        obj.flags |= OBJ_DYING
        with pytest.raises(Panic, match="dying"):
            vm_object_paging_begin(vm, obj)
        vm_object_paging_begin(vm, obj, terminating=True)
        vm_object_paging_end(vm, obj)
        obj.flags &= ~OBJ_DYING
        with locked(vm.page_queue_lock), pytest.raises(Panic, match="not busy"):
            clear_busy(vm, page)
        with locked(vm.page_queue_lock):
            page_busy(vm, page)
            with pytest.raises(Panic, match="busy already"):
                page_busy(vm, page)
            clear_busy(vm, page)
            vm.unclaim(page.address + type(page).flags_o.offset)
    vm_object_deallocate(vm, obj)
