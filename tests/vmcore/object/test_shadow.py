from tests.vmcore.builders_objects import (
    chain,
    contents,
    entry_at,
    fill,
    fork,
    live_objects,
    read,
    resident,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_SUCCESS, VM_PROT_ALL
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.vmspace import space_map, vmspace_exit


def test_memory_reads_zero_until_it_is_written(vm):
    space = space_of(vm, 2)

    assert contents(vm, space, 2) == [0, 0]
    write(vm, space, 1, 7)
    assert contents(vm, space, 2) == [0, 7]
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_fork_copies_no_page_and_both_sides_see_the_same(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2})
    free = vm.g.v_free_count

    child = fork(vm, parent)

    assert vm.g.v_free_count == free
    assert top(vm, child) is top(vm, parent)
    assert contents(vm, child, 2) == [1, 2]
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_the_first_write_after_fork_is_one_fault_with_the_right_to_write(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    child = fork(vm, parent)
    faults = vm.me.stats.v_faults

    write(vm, child, 0, 3)
    write(vm, child, 0, 4)

    assert vm.me.stats.v_faults == faults + 1
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_rights_that_are_set_to_what_they_are_cost_no_fault(vm):
    parent = space_of(vm, 1)
    fill(vm, parent, {0: 1})
    child = fork(vm, parent)
    write(vm, child, 0, 3)
    faults = vm.me.stats.v_faults

    assert vm_map_protect(vm, space_map(vm, child), va(vm, 0), va(vm, 1), VM_PROT_ALL) == KERN_SUCCESS
    write(vm, child, 0, 4)

    assert vm.me.stats.v_faults == faults
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_memory_that_is_in_swap_is_shared_until_a_write_too(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    swap_out(vm, top(vm, parent))

    child = fork(vm, parent)

    assert top(vm, child) is top(vm, parent)
    assert (top(vm, parent).copy, top(vm, parent).ref_count) == (0, 2), (
        "only a file's users need a copy-object"
    )
    assert entry_at(vm, parent).needs_copy
    assert contents(vm, child, 2) == [1, 2]
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_write_after_fork_interposes_a_shadow_with_that_page_only(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    old = top(vm, parent)
    child = fork(vm, parent)

    write(vm, child, 1, 20)

    assert chain(vm, child) == [top(vm, child).slot, old.slot]
    assert resident(vm, top(vm, child)) == [1]
    assert contents(vm, child, 3) == [1, 20, 3]
    assert contents(vm, parent, 3) == [1, 2, 3]
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_the_parents_later_writes_are_invisible_to_the_child(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1})
    child = fork(vm, parent)

    fill(vm, parent, {0: 10, 1: 11})

    assert contents(vm, child, 2) == [1, 0]
    assert contents(vm, parent, 2) == [10, 11]
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_a_family_of_three_generations_keeps_its_contents_apart(vm):
    parent = space_of(vm, 2)
    write(vm, parent, 0, 1)
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    grandchild = fork(vm, child)
    write(vm, grandchild, 1, 3)
    write(vm, child, 1, 4)

    assert contents(vm, parent, 2) == [1, 0]
    assert contents(vm, child, 2) == [2, 4]
    assert contents(vm, grandchild, 2) == [2, 3]
    assert audit(vm) == []
    for space in (child, parent, grandchild):
        vmspace_exit(vm, space)
        assert audit(vm) == []
    assert live_objects(vm) == set()


def test_the_reader_of_a_shadow_sees_the_page_below_read_only(vm):
    parent = space_of(vm, 1)
    write(vm, parent, 0, 5)
    child = fork(vm, parent)

    assert read(vm, child, 0) == 5
    write(vm, parent, 0, 6)
    assert read(vm, child, 0) == 5
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)
