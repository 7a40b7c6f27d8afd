"""vm_object_coalesce: a heap that grows stays one entry, and new memory reads zeros."""

import pytest

from tests.vmcore.builders import locked, new_object, new_page, services
from tests.vmcore.builders_files import vnode
from tests.vmcore.builders_objects import (
    BASE,
    below,
    contents,
    empty_space,
    entry_at,
    fill,
    fork,
    live_objects,
    read,
    resident,
    shadow_of,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_SUCCESS, OBJ_INTERNAL, VM_INHERIT_SHARE, VM_PROT_READ
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_coalesce import vm_object_coalesce
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page_queues import vm_page_unwire, vm_page_wire
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_file, vm_map_move
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4 * 4096,))


def grow(vm, space, first, pages, **how):
    """Map pages right behind what is mapped, as brk does."""
    size = vm.page_size
    assert vm_allocate(vm, space_map(vm, space), pages * size, va(vm, first), **how) == va(vm, first)


def entries(vm, space):
    return space_map(vm, space).nentries


def clear(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


# --- the heap


def test_a_heap_that_grows_stays_one_entry_and_one_object(vm):
    space = space_of(vm, 1)
    for first in range(1, 20):
        grow(vm, space, first, 1)
        write(vm, space, first, first)

    assert entries(vm, space) == 1
    assert len(live_objects(vm)) == 1
    assert top(vm, space).size == 20 * vm.page_size
    assert contents(vm, space, 20) == list(range(20))
    assert space_map(vm, space).size == 20 * vm.page_size
    assert audit(vm) == []
    clear(vm, space)


def test_mappings_without_an_address_grow_the_one_before_them(vm):
    space = empty_space(vm)
    starts = [vm_allocate(vm, space_map(vm, space), vm.page_size) for _ in range(5)]

    assert starts == [starts[0] + index * vm.page_size for index in range(5)]
    assert entries(vm, space) == 1
    clear(vm, space)


def test_before_the_first_store_there_is_nothing_to_grow_but_the_entry(vm):
    space = space_of(vm, 1)

    grow(vm, space, 1, 3)

    assert (entries(vm, space), live_objects(vm)) == (1, set())
    write(vm, space, 3, 7)
    assert top(vm, space).size == 4 * vm.page_size
    clear(vm, space)


def test_growth_by_mremap_is_one_entry_too(vm):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})

    assert vm_map_move(vm, space_map(vm, space), BASE, 2 * vm.page_size, 4 * vm.page_size) == BASE

    assert entries(vm, space) == 1
    assert contents(vm, space, 4) == [1, 2, 0, 0]
    clear(vm, space)


def test_what_was_unmapped_and_is_mapped_again_reads_zeros(vm):
    space = space_of(vm, 4)
    fill(vm, space, {0: 1, 1: 2, 2: 3, 3: 4})
    vm_deallocate(vm, space_map(vm, space), va(vm, 2), 2 * vm.page_size)
    assert resident(vm, top(vm, space)) == [0, 1, 2, 3]  # the object keeps them

    grow(vm, space, 2, 1)

    assert entries(vm, space) == 1
    assert resident(vm, top(vm, space)) == [0, 1, 3]
    grow(vm, space, 3, 2)
    assert contents(vm, space, 5) == [1, 2, 0, 0, 0]
    assert top(vm, space).size == 5 * vm.page_size
    assert audit(vm) == []
    clear(vm, space)


def test_an_entry_that_starts_within_its_object_grows_at_its_own_end(vm):
    space = space_of(vm, 4)
    fill(vm, space, {0: 1, 1: 2, 2: 3, 3: 4})
    vm_deallocate(vm, space_map(vm, space), va(vm, 0), vm.page_size)
    vm_deallocate(vm, space_map(vm, space), va(vm, 3), vm.page_size)

    grow(vm, space, 3, 3)

    assert entries(vm, space) == 1
    assert [read(vm, space, page) for page in range(1, 6)] == [2, 3, 0, 0, 0]
    assert top(vm, space, 1).size == 6 * vm.page_size
    clear(vm, space)


def test_a_shadow_that_only_we_use_is_folded_in_first(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    child = fork(vm, parent)
    write(vm, parent, 0, 3)
    backing = below(vm, top(vm, parent))
    with locked(backing):
        vm_object_paging_begin(vm, backing)
    vmspace_exit(vm, child)  # which cannot collapse the two now
    with locked(backing):
        vm_object_paging_end(vm, backing)
    assert top(vm, parent).shadow

    grow(vm, parent, 2, 2)

    assert entries(vm, parent) == 1
    assert not top(vm, parent).shadow
    assert contents(vm, parent, 4) == [3, 2, 0, 0]
    clear(vm, parent)


def test_a_second_user_of_the_object_never_sees_the_growth(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    child = fork(vm, parent)

    grow(vm, parent, 2, 2)

    assert entries(vm, parent) == 2
    fill(vm, parent, {1: 8, 2: 9})
    assert contents(vm, child, 2) == [1, 2]
    assert contents(vm, parent, 4) == [1, 8, 9, 0]
    clear(vm, parent, child)


def test_what_is_not_alike_gets_an_entry_of_its_own(vm):
    space, size = space_of(vm, 1), vm.page_size
    main = space_map(vm, space)
    grow(vm, space, 1, 1, protection=VM_PROT_READ)
    assert entries(vm, space) == 2
    grow(vm, space, 2, 1, protection=VM_PROT_READ, inheritance=VM_INHERIT_SHARE)
    assert entries(vm, space) == 3
    grow(vm, space, 4, 1)  # a hole before it
    assert entries(vm, space) == 4
    assert vm_map_pageable(vm, main, va(vm, 4), va(vm, 5), True) == KERN_SUCCESS

    grow(vm, space, 5, 1)

    assert entries(vm, space) == 5
    vm_map_protect(vm, main, va(vm, 5), va(vm, 6), VM_PROT_READ)
    grow(vm, space, 6, 1)
    assert entries(vm, space) == 6
    vm_map_file(vm, main, vnode(vm), size, address=va(vm, 7))
    grow(vm, space, 8, 1)
    assert entries(vm, space) == 8
    assert not entry_at(vm, space, 8).object
    vm_deallocate(vm, main, BASE, 9 * size)
    clear_files(vm, space)


def clear_files(vm, space):
    vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


def test_nothing_grows_over_a_hole(vm):
    space = space_of(vm, 1)

    grow(vm, space, 2, 1)

    assert entries(vm, space) == 2
    assert [entry_at(vm, space, page).end for page in (0, 2)] == [va(vm, 1), va(vm, 3)]
    clear(vm, space)


def test_a_shared_range_does_not_grow(vm):
    parent = space_of(vm, 1, inheritance=VM_INHERIT_SHARE)
    child = fork(vm, parent)  # the entry is a sharing map now

    grow(vm, parent, 1, 1, inheritance=VM_INHERIT_SHARE)

    assert entries(vm, parent) == 2
    write(vm, parent, 1, 5)
    clear(vm, parent, child)


# --- the object: each reason to refuse


def coalesce(vm, obj, prev_pages, next_pages):
    size = vm.page_size
    return vm_object_coalesce(vm, obj, None, 0, 0, prev_pages * size, next_pages * size)


def test_no_object_can_grow_and_two_are_never_joined(vm):
    one, two = new_object(vm, 1), new_object(vm, 1)

    assert coalesce(vm, None, 1, 1)
    assert not vm_object_coalesce(vm, one, two, 0, 0, vm.page_size, vm.page_size)

    assert (one.size, two.size) == (vm.page_size, vm.page_size)
    vm_object_deallocate(vm, one)
    vm_object_deallocate(vm, two)


def test_an_object_that_already_reaches_far_enough_keeps_its_size(vm):
    obj = new_object(vm, 5)

    assert coalesce(vm, obj, 1, 2)

    assert obj.size == 5 * vm.page_size
    vm_object_deallocate(vm, obj)


def refuse(vm, obj):
    before = (obj.size, resident(vm, obj))
    assert not coalesce(vm, obj, 1, 1)
    assert (obj.size, resident(vm, obj)) == before
    assert not obj.lock.locked()


def test_an_object_that_is_paging_stays_as_it_is(vm):
    obj = new_object(vm, 2)
    new_page(vm, obj, 1, 7)
    with locked(obj):
        vm_object_paging_begin(vm, obj)  # it may be about to get a pager of its present size

    refuse(vm, obj)

    with locked(obj):
        vm_object_paging_end(vm, obj)
    assert coalesce(vm, obj, 1, 1)
    assert resident(vm, obj) == []
    vm_object_deallocate(vm, obj)


def test_a_referenced_named_paged_or_shadowing_object_does_not_grow(vm):
    obj = new_object(vm, 2)
    new_page(vm, obj, 1, 7)
    obj.ref_count += 1
    refuse(vm, obj)
    obj.ref_count -= 1
    obj.flags &= ~OBJ_INTERNAL
    refuse(vm, obj)
    obj.flags |= OBJ_INTERNAL
    obj.ref_count += 1  # the backing object has a second user, so it stays
    front = shadow_of(vm, obj, 0, 2)
    refuse(vm, front)
    vm_object_deallocate(vm, front)
    swap_out(vm, obj)
    assert obj.pager

    refuse(vm, obj)

    vm_object_deallocate(vm, obj)


def test_a_wired_left_over_page_is_not_given_out_as_new_memory(vm):
    obj = new_object(vm, 2)
    page = new_page(vm, obj, 1, 7)
    with vm.page_queue_lock:
        vm_page_wire(vm, page)

    refuse(vm, obj)

    assert page.wire_count == 1
    with vm.page_queue_lock:
        vm_page_unwire(vm, page)
    vm_object_deallocate(vm, obj)


# --- with others


def brk(vm, me, rounds):
    """Grow, store, shrink, grow again; all under memory pressure, sometimes with a child."""
    space = space_of(vm, 1)
    last = {0: 0}
    for turn in range(1, rounds + 1):
        first = len(last)
        if first > 24:
            vm_deallocate(vm, space_map(vm, space), va(vm, 8), (first - 8) * vm.page_size)
            last = {page: last[page] for page in range(8)}
            first = 8
        grow(vm, space, first, 1 + turn % 3)
        for page in range(first, first + 1 + turn % 3):
            assert read(vm, space, page) == 0, (me, turn, page)
            last[page] = turn * 100 + me
            write(vm, space, page, last[page])
        if turn % 7 == 0:
            child = fork(vm, space)
            write(vm, space, 0, turn)
            assert read(vm, child, 0) == last[0]
            last[0] = turn
            vmspace_exit(vm, child)
        probe = turn % len(last)
        assert read(vm, space, probe) == last[probe], (me, turn, probe)
    vmspace_exit(vm, space)


def test_heaps_grow_while_the_daemon_pages_out(vm_of):
    vm = vm_of(pages=48)
    with services(vm) as team:
        names = [f"heap {me}" for me in range(3)]
        for me, name in enumerate(names):
            team.start(name, brk, me, 120)
        said = team.wait(*names)
        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert sum(row.v_pageouts for row in vm.stats.views[1:]) > 0
    assert all_gone(vm) == []
