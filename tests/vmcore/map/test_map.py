import pytest

from tests.vmcore.builders import stamp
from tests.vmcore.builders_objects import (
    BASE,
    contents,
    empty_space,
    entry_at,
    fill,
    fork,
    live_objects,
    read,
    resident,
    space_of,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
)
from vmcore.map.map_entry import entry_share
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_protect import vm_map_inherit, vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_move
from vmcore.space.vmspace import space_map, vmspace_exec, vmspace_exit, vmspace_share
from vmcore.vm_error import VmError, VmFault


def test_allocation_takes_the_lowest_hole(vm):
    space = empty_space(vm)
    amap, size = space_map(vm, space), vm.page_size
    first = vm_allocate(vm, amap, 2 * size)
    second = vm_allocate(vm, amap, size)
    third = vm_allocate(vm, amap, size)
    vm_deallocate(vm, amap, second, size)

    assert vm_allocate(vm, amap, 2 * size) == third + size
    assert vm_allocate(vm, amap, size) == second
    assert first == amap.min_offset
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_a_fixed_allocation_replaces_what_was_there(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2, 2: 3})

    vm_allocate(vm, space_map(vm, space), vm.page_size, va(vm, 1))

    assert contents(vm, space, 3) == [1, 0, 3]
    assert space_map(vm, space).nentries == 3
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_unmapping_the_middle_clips_and_each_half_keeps_a_reference(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2, 2: 3})
    obj = top(vm, space)

    vm_deallocate(vm, space_map(vm, space), va(vm, 1), vm.page_size)

    assert obj.ref_count == 2
    assert entry_at(vm, space, 2).offset == 2 * vm.page_size
    assert (read(vm, space, 0), read(vm, space, 2)) == (1, 3)
    with pytest.raises(VmFault) as caught:
        read(vm, space, 1)
    assert caught.value.code == KERN_INVALID_ADDRESS
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_memory_that_is_mapped_again_reads_zero(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 9)
    amap = space_map(vm, space)

    vm_deallocate(vm, amap, BASE, vm.page_size)
    vm_allocate(vm, amap, vm.page_size, BASE)

    assert read(vm, space, 0) == 0
    vmspace_exit(vm, space)


def test_protection_is_enforced_at_once_and_per_page(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2, 2: 3})
    amap = space_map(vm, space)

    assert vm_map_protect(vm, amap, va(vm, 1), va(vm, 2), VM_PROT_READ) == KERN_SUCCESS

    assert read(vm, space, 1) == 2
    with pytest.raises(VmFault) as caught:
        write(vm, space, 1, 20)
    assert caught.value.code == KERN_PROTECTION_FAILURE
    fill(vm, space, {0: 10, 2: 30})
    assert vm_map_protect(vm, amap, va(vm, 0), va(vm, 3), VM_PROT_NONE) == KERN_SUCCESS
    with pytest.raises(VmFault):
        read(vm, space, 0)
    assert vm_map_protect(vm, amap, va(vm, 0), va(vm, 3), VM_PROT_ALL) == KERN_SUCCESS
    write(vm, space, 1, 21)
    assert contents(vm, space, 3) == [10, 21, 30]
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_a_refused_protection_changes_nothing_and_leaves_the_map_unlocked(vm):
    space = space_of(vm, 2)
    amap = space_map(vm, space)
    vm_map_protect(vm, amap, va(vm, 1), va(vm, 2), VM_PROT_READ, set_max=True)

    assert vm_map_protect(vm, amap, va(vm, 0), va(vm, 2), VM_PROT_ALL) == KERN_PROTECTION_FAILURE

    assert entry_at(vm, space, 0).protection == VM_PROT_ALL
    assert amap.lock.held() is None
    assert vm_map_protect(vm, amap, 0x4000_0000, 0x4000_1000, VM_PROT_READ) == KERN_INVALID_ADDRESS
    vmspace_exit(vm, space)


def test_making_a_copied_range_writable_again_does_not_write_through(vm):
    parent = space_of(vm, 1)
    write(vm, parent, 0, 1)
    child = fork(vm, parent)
    amap = space_map(vm, child)

    vm_map_protect(vm, amap, va(vm, 0), va(vm, 1), VM_PROT_READ)
    vm_map_protect(vm, amap, va(vm, 0), va(vm, 1), VM_PROT_ALL)
    write(vm, child, 0, 2)

    assert read(vm, parent, 0) == 1
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_moving_a_range_keeps_its_contents(vm):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})
    amap, size = space_map(vm, space), vm.page_size
    vm_allocate(vm, amap, size, va(vm, 2))  # no room to grow in place

    start = vm_map_move(vm, amap, BASE, 2 * size, 3 * size)

    assert start != BASE
    assert [vm_read(vm, space, start + n * size) for n in range(3)] == [stamp(vm, n) for n in (1, 2, 0)]
    with pytest.raises(VmFault):
        read(vm, space, 0)
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_range_with_room_behind_it_grows_in_place_and_shrinks_in_place(vm):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})
    amap, size = space_map(vm, space), vm.page_size

    assert vm_map_move(vm, amap, BASE, 2 * size, 4 * size) == BASE
    assert contents(vm, space, 4) == [1, 2, 0, 0]
    assert vm_map_move(vm, amap, BASE, 4 * size, size) == BASE

    with pytest.raises(VmFault):
        read(vm, space, 1)
    assert read(vm, space, 0) == 1
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_discarded_memory_reads_zero_and_the_neighbours_stay(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)

    assert vm_map_discard(vm, space_map(vm, child), va(vm, 1), va(vm, 2)) == KERN_SUCCESS

    assert contents(vm, child, 3) == [1, 0, 3]
    assert contents(vm, parent, 3) == [1, 2, 3]
    write(vm, child, 1, 9)
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_child_gets_what_inheritance_says(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    amap = space_map(vm, parent)
    for page, inheritance in enumerate((VM_INHERIT_NONE, VM_INHERIT_COPY, VM_INHERIT_SHARE)):
        vm_map_inherit(vm, amap, va(vm, page), va(vm, page + 1), inheritance)

    child = fork(vm, parent)

    with pytest.raises(VmFault):
        read(vm, child, 0)
    write(vm, child, 1, 20)
    write(vm, child, 2, 30)
    assert contents(vm, parent, 3) == [1, 2, 30]
    write(vm, parent, 2, 31)
    assert read(vm, child, 2) == 31
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_shared_memory_survives_its_creator_and_a_second_fork(vm):
    parent = space_of(vm, 2, inheritance=VM_INHERIT_SHARE)
    child = fork(vm, parent)  # never touched: the object is made at the fork
    grandchild = fork(vm, child)

    write(vm, parent, 0, 1)
    vmspace_exit(vm, parent)
    write(vm, grandchild, 1, 2)

    assert contents(vm, child, 2) == contents(vm, grandchild, 2) == [1, 2]
    assert audit(vm) == []
    vmspace_exit(vm, child)
    assert contents(vm, grandchild, 2) == [1, 2]
    vmspace_exit(vm, grandchild)
    assert all_gone(vm) == []


def test_a_copy_on_write_range_shared_later_is_shadowed_once_for_all(vm):
    grandparent = space_of(vm, 2)
    fill(vm, grandparent, {0: 1, 1: 2})
    parent = fork(vm, grandparent)
    vm_map_inherit(vm, space_map(vm, parent), va(vm, 0), va(vm, 2), VM_INHERIT_SHARE)
    child = fork(vm, parent)

    write(vm, child, 0, 10)
    write(vm, parent, 1, 20)

    assert contents(vm, parent, 2) == contents(vm, child, 2) == [10, 20]
    assert contents(vm, grandparent, 2) == [1, 2]
    assert audit(vm) == []
    for space in (grandparent, parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_private_copy_of_shared_memory_is_a_snapshot(vm):
    first = space_of(vm, 2, inheritance=VM_INHERIT_SHARE)
    fill(vm, first, {0: 1, 1: 2})
    second = fork(vm, first)
    write(vm, second, 0, 10)
    vm_map_inherit(vm, space_map(vm, second), va(vm, 0), va(vm, 2), VM_INHERIT_COPY)

    snapshot = fork(vm, second)
    write(vm, first, 0, 11)
    write(vm, second, 1, 12)
    write(vm, snapshot, 1, 99)

    assert contents(vm, first, 2) == contents(vm, second, 2) == [11, 12]
    assert contents(vm, snapshot, 2) == [10, 99]
    assert audit(vm) == []
    for space in (first, second, snapshot):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_unmapping_part_of_shared_memory_leaves_the_other_side_whole(vm):
    first = space_of(vm, 3, inheritance=VM_INHERIT_SHARE)
    fill(vm, first, {0: 1, 1: 2, 2: 3})
    second = fork(vm, first)

    vm_deallocate(vm, space_map(vm, second), va(vm, 1), vm.page_size)

    assert contents(vm, first, 3) == [1, 2, 3]
    assert (read(vm, second, 0), read(vm, second, 2)) == (1, 3)
    assert audit(vm) == []
    for space in (first, second):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_the_last_user_of_a_shared_space_tears_it_down(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    vmspace_share(vm, space)

    vmspace_exit(vm, space)
    assert read(vm, space, 0) == 1
    assert live_objects(vm)

    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_exec_empties_a_space_and_leaves_one_that_is_shared(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    vmspace_share(vm, space)

    new = vmspace_exec(vm, space)

    assert new is not space
    assert read(vm, space, 0) == 1
    assert vmspace_exec(vm, space) is space
    assert space_map(vm, space).nentries == 0
    for one in (space, new):
        vmspace_exit(vm, one)
    assert all_gone(vm) == []


def test_sizes_that_are_no_pages_are_refused(vm):
    space = empty_space(vm)

    with pytest.raises(VmError, match="page size"):
        vm_allocate(vm, space_map(vm, space), 100)

    assert space_map(vm, space).lock.held() is None
    vmspace_exit(vm, space)


def test_a_write_to_one_page_makes_one_page_resident(vm):
    space = space_of(vm, 100)

    vm_write(vm, space, va(vm, 57) + 123, stamp(vm, 4))

    assert resident(vm, top(vm, space)) == [57]
    vmspace_exit(vm, space)


def test_a_copy_of_shared_memory_moves_the_timestamp_of_the_sharing_map(vm):
    parent = space_of(vm, 2, inheritance=VM_INHERIT_SHARE)
    child = fork(vm, parent)
    with space_map(vm, child).lock.reading():
        share = entry_share(vm, entry_at(vm, child))
    vm_map_inherit(vm, space_map(vm, child), va(vm, 0), va(vm, 2), VM_INHERIT_COPY)
    before = share.timestamp

    snapshot = fork(vm, child)

    assert share.timestamp > before
    for space in (parent, child, snapshot):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []
