"""vm_object_prefer: all mappings of a page have one colour, as far as programs let us choose."""

import pytest

from harness.errors import BadInput
from tests.vmcore.builders import locked, new_object, new_page, new_pmap
from tests.vmcore.builders_files import held, mapped, show, store, vnode
from tests.vmcore.builders_objects import empty_space, page_at, space_of, write
from vmcore.audit.audit import all_gone, audit
from vmcore.config import Config
from vmcore.constants import (
    KERN_NO_SPACE,
    OBJ_FIXED,
    PG_FAKE,
    PG_FICTITIOUS,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
)
from vmcore.map import map_place
from vmcore.map.map_entry import vm_map_lookup_entry
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_prefer import PREFER, vm_object_prefer
from vmcore.pmap import coloring
from vmcore.pmap.coloring import audit_colours, colour_conflicts, congruent
from vmcore.pmap.pmap import pmap_enter, pmap_page_protect
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_user import vm_allocate, vm_map_file, vm_map_move
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.stats import counters
from vmcore.vm_error import VmError

ALIAS, PAGES = 64 * 1024, 8
FILE = PAGES * 4096


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(FILE, FILE))


def colour(vm, address):
    return address // vm.page_size % (ALIAS // vm.page_size)


def map_file(vm, space, pages=PAGES, offset=0, shared=True, address=None):
    size = vm.page_size
    return vm_map_file(vm, space_map(vm, space), vnode(vm), pages * size, offset * size, shared, address)


def fixed(vm, at):
    """A space that has the file mapped at this colour by its own choice."""
    space = empty_space(vm)
    return space, map_file(vm, space, address=16 * ALIAS + at * vm.page_size)


def clear(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


# --- the aligner


def test_a_mapped_frame_has_the_colour_of_its_mapping(vm):
    obj, pmap = new_object(vm, 1), new_pmap(vm)
    page = new_page(vm, obj, 0)
    assert PREFER(vm, page, 5 * ALIAS) is None
    with locked(obj):
        pmap_enter(vm, pmap, 7 * ALIAS + 3 * vm.page_size, page, VM_PROT_ALL, False)

    assert PREFER(vm, page, 5 * ALIAS) == 5 * ALIAS + 3 * vm.page_size
    assert PREFER(vm, page, 5 * ALIAS + 3 * vm.page_size) == 5 * ALIAS + 3 * vm.page_size
    assert PREFER(vm, page, 5 * ALIAS + 4 * vm.page_size) == 6 * ALIAS + 3 * vm.page_size
    with locked(obj):
        pmap_page_protect(vm, page, 0)
    assert PREFER(vm, page, 5 * ALIAS) is None
    vm_object_deallocate(vm, obj)
    vm.pmaps.free(pmap)


def test_without_a_frame_the_first_colour_is_best(vm):
    assert PREFER(vm, None, 5 * ALIAS) == 5 * ALIAS
    assert PREFER(vm, None, 5 * ALIAS + 1 * vm.page_size) == 6 * ALIAS


def test_a_physically_indexed_cache_has_no_opinion(vm_of):
    vm = vm_of(alias_distance=0, files=(FILE,))
    one, two = empty_space(vm), empty_space(vm)
    vm_allocate(vm, space_map(vm, two), vm.page_size)

    assert PREFER(vm, None, 3 * vm.page_size) is None
    assert vm_object_prefer(vm, None, 0, 3 * vm.page_size) == 3 * vm.page_size
    here, there = map_file(vm, one), map_file(vm, two)
    assert there == here + vm.page_size
    store(vm, one, here, 1)
    store(vm, two, there, 2)
    assert colour_conflicts(vm) == {}
    assert counters(vm)["colour_conflicts"] == 0
    clear(vm, one, two)


def test_an_alias_distance_is_a_power_of_two():
    for wrong in (-4096, 3 * 4096):
        with pytest.raises(BadInput, match="alias_distance"):
            Config(alias_distance=wrong)


# --- the object's preference


def test_a_pageless_object_goes_where_its_offset_says(vm):
    obj = new_object(vm, 4)

    assert vm_object_prefer(vm, obj, 0, 3 * vm.page_size) == ALIAS
    assert vm_object_prefer(vm, obj, 2 * vm.page_size, vm.page_size) == 2 * vm.page_size
    assert vm_object_prefer(vm, obj, 2 * vm.page_size, 3 * vm.page_size) == ALIAS + 2 * vm.page_size
    assert vm_object_prefer(vm, None, 0, 3 * vm.page_size) == ALIAS
    vm_object_deallocate(vm, obj)


def test_a_page_that_is_mapped_somewhere_decides_for_the_whole_object(vm):
    obj, pmap = new_object(vm, 4), new_pmap(vm)
    pages = [new_page(vm, obj, index) for index in range(4)]
    with locked(obj):
        pmap_enter(vm, pmap, 9 * ALIAS + 5 * vm.page_size, pages[2], VM_PROT_READ, False)

    assert vm_object_prefer(vm, obj, 0, 4 * ALIAS) == 4 * ALIAS + 3 * vm.page_size
    assert vm_object_prefer(vm, obj, 3 * vm.page_size, 4 * ALIAS) == 4 * ALIAS + 6 * vm.page_size
    assert vm_object_prefer(vm, obj, 0, 4 * ALIAS + 4 * vm.page_size) == 5 * ALIAS + 3 * vm.page_size
    for flag in (PG_FAKE, PG_FICTITIOUS):
        pages[2].flags_o |= flag
        assert vm_object_prefer(vm, obj, 0, 4 * ALIAS) == 4 * ALIAS
        pages[2].flags_o &= ~flag
    vm_object_deallocate(vm, obj)
    vm.pmaps.free(pmap)


# --- mapping


def test_a_mapping_made_before_any_page_gets_the_colour_of_the_others(vm):
    spaces = [empty_space(vm) for _ in range(3)]
    for index, space in enumerate(spaces):
        vm_allocate(vm, space_map(vm, space), (index + 1) * vm.page_size)  # the lowest hole is elsewhere
    starts = [map_file(vm, space) for space in spaces[:2]]
    store(vm, spaces[0], starts[0], 1)
    starts.append(map_file(vm, spaces[2]))
    store(vm, spaces[1], starts[1], 2)
    store(vm, spaces[2], starts[2], 3)

    assert {colour(vm, start) for start in starts} == {0}
    assert len(page_mappings(vm, page_at(vm, shown(vm), 0))) == 3
    assert colour_conflicts(vm) == {}
    assert counters(vm)["colour_conflicts"] == 0
    assert audit(vm) == []
    clear(vm, *spaces)


def page_mappings(vm, page):
    found, slot = [], page.pv_first
    while slot:
        found.append(vm.mappings.views[slot].va)
        slot = vm.mappings.views[slot].pv_next
    return found


def shown(vm):
    """The file's object, without a reference."""
    return vm.objects(vm.pagers(vnode(vm).v_vmdata).pg_object)


def test_a_part_of_a_file_lies_so_that_its_pages_do_not_alias(vm):
    whole, part = empty_space(vm), empty_space(vm)
    here, there = map_file(vm, whole), map_file(vm, part, pages=2, offset=3)
    store(vm, whole, here + 4 * vm.page_size, 1)
    store(vm, part, there + vm.page_size, 2)

    assert colour(vm, there) == 3
    assert colour_conflicts(vm) == {}
    clear(vm, whole, part)


def test_a_free_mapping_follows_one_that_was_fixed_before(vm):
    one, here = fixed(vm, 3)
    show(vm, one, here + vm.page_size)
    two = empty_space(vm)

    there = map_file(vm, two)

    assert colour(vm, there) == 3
    store(vm, one, here + vm.page_size, 1)
    store(vm, two, there + vm.page_size, 2)
    assert colour_conflicts(vm) == {}
    clear(vm, one, two)


def test_a_fixed_mapping_keeps_its_address_and_its_conflict_is_counted(vm):
    free, here = mapped(vm, PAGES, True)
    store(vm, free, here, 1)
    assert counters(vm)["colour_conflicts"] == 0
    one, there = fixed(vm, 5)
    assert colour(vm, there) == 5

    store(vm, one, there, 2)

    page = page_at(vm, shown(vm), 0)
    assert colour_conflicts(vm) == {page.slot: {0, 5}}
    assert counters(vm)["colour_conflicts"] == 1
    assert audit(vm) == []  # legal: a caller chose
    shown(vm).flags &= ~OBJ_FIXED
    assert audit_colours(vm) == audit(vm) != []
    clear(vm, free, one)


def test_a_reader_of_another_colour_is_no_conflict(vm):
    reader, free = empty_space(vm), empty_space(vm)
    there = 16 * ALIAS + 5 * vm.page_size
    vm_map_file(vm, space_map(vm, reader), vnode(vm), FILE, 0, True, there, VM_PROT_READ)
    here = map_file(vm, free)  # before any page is there
    show(vm, reader, there)

    store(vm, free, here, 1)

    assert {colour(vm, va) for va in page_mappings(vm, page_at(vm, shown(vm), 0))} == {0, 5}
    assert colour_conflicts(vm) == {}
    assert counters(vm)["colour_conflicts"] == 0
    clear(vm, reader, free)


def test_a_fixed_address_of_the_right_colour_marks_nothing(vm):
    free, here = mapped(vm, PAGES, True)
    one, there = fixed(vm, 0)
    store(vm, free, here, 1)
    store(vm, one, there, 2)

    assert not shown(vm).flags & OBJ_FIXED
    assert colour_conflicts(vm) == {}
    clear(vm, free, one)


def test_named_memory_is_placed_like_a_file(vm):
    spaces = [empty_space(vm) for _ in range(2)]
    vm_allocate(vm, space_map(vm, spaces[1]), vm.page_size)
    starts = [vm_map_named(vm, space_map(vm, space), 5, FILE) for space in spaces]

    for space, start in zip(spaces, starts, strict=True):
        store(vm, space, start, 1)

    assert {colour(vm, start) for start in starts} == {0}
    assert audit(vm) == []
    clear(vm, *spaces)


def test_memory_without_an_object_takes_the_lowest_hole(vm):
    space = empty_space(vm)
    first = vm_allocate(vm, space_map(vm, space), vm.page_size, inheritance=VM_INHERIT_SHARE)

    second = vm_allocate(vm, space_map(vm, space), vm.page_size)

    assert second == first + vm.page_size
    clear(vm, space)


# --- finding room


def test_the_search_goes_on_from_the_adjusted_address(vm, monkeypatch):
    """Holes of eight pages without an address of the first colour, and then one that has it."""
    space = empty_space(vm)
    main = space_map(vm, space)
    for index in range(1, 6):
        vm_allocate(vm, main, ALIAS // 2, index * ALIAS)
    asked, answers = [], []

    def noted(vm, obj, offset, at):
        asked.append(at)
        answers.append(vm_object_prefer(vm, obj, offset, at))
        return answers[-1]

    monkeypatch.setattr(map_place, "vm_object_prefer", noted)
    start = map_file(vm, space, pages=4)

    assert 0 < main.min_offset < ALIAS
    assert start == 6 * ALIAS
    assert len(asked) == 6  # once in each hole
    assert all(after >= answer for answer, after in zip(answers, asked[1:], strict=False))
    clear(vm, space)


def test_where_no_place_of_the_right_colour_is_left_there_is_none(vm):
    space = empty_space(vm)
    main = space_map(vm, space)
    low = congruent(vm, 0, main.min_offset)
    vm_allocate(vm, main, main.max_offset - low - 2 * vm.page_size, low)

    with pytest.raises(VmError) as refused:
        map_file(vm, space, pages=1)

    assert refused.value.code == KERN_NO_SPACE
    clear(vm, space)


# --- moves


def moved(vm, how):
    """A range shared by parent and child, which the parent then moves; (spaces, old, new)."""
    parent = space_of(vm, 2, inheritance=VM_INHERIT_SHARE)
    write(vm, parent, 0, 1)
    child = vmspace_fork(vm, parent)
    main, base = space_map(vm, parent), 0x10000
    vm_allocate(vm, main, vm.page_size, base + 2 * vm.page_size, protection=VM_PROT_READ)  # in the way
    start = vm_map_move(vm, main, base, 2 * vm.page_size, 4 * vm.page_size, how)
    store(vm, parent, start, 2)
    store(vm, child, base, 3)
    assert show(vm, parent, start) == 3
    return (parent, child), base, start


def test_what_is_moved_keeps_its_colour(vm):
    spaces, old, new = moved(vm, None)

    assert new != old
    assert colour(vm, new) == colour(vm, old)
    assert colour_conflicts(vm) == {}
    assert audit(vm) == []
    clear(vm, *spaces)


def test_what_is_moved_to_an_address_of_another_colour_is_marked(vm):
    spaces, _, _ = moved(vm, 20 * ALIAS + 3 * vm.page_size)

    assert len(colour_conflicts(vm)) == 1
    assert audit(vm) == []
    clear(vm, *spaces)


def test_a_shadow_of_a_marked_object_is_marked(vm):
    """It is put in front where both sharers find it, so its pages have two colours as well."""
    spaces, old, new = moved(vm, 20 * ALIAS + 3 * vm.page_size)
    (before,) = colour_conflicts(vm)
    _, slot = vm_map_lookup_entry(vm, space_map(vm, spaces[0]), new)
    vm.entries.views[slot].inheritance = VM_INHERIT_COPY
    third = vmspace_fork(vm, spaces[0])  # gets a copy: the next store makes a shadow

    store(vm, spaces[0], new, 4)
    store(vm, spaces[1], old, 5)

    assert show(vm, spaces[0], new) == 5
    (conflict,) = colour_conflicts(vm)
    assert vm.pages.views[conflict].object != vm.pages.views[before].object
    assert audit(vm) == []
    clear(vm, *spaces, third)


def test_the_audit_knows_the_distance(vm):
    assert congruent(vm, 3 * vm.page_size, 7 * ALIAS + 4 * vm.page_size) == 8 * ALIAS + 3 * vm.page_size
    assert coloring.audit_colours(vm) == []
    obj = held(vm)
    vm_object_deallocate(vm, obj)
    clear(vm)
