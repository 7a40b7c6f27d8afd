"""Quiescent invariants of objects, maps and the cache: each is broken once, and the audit names it."""

from dataclasses import replace

import pytest

from tests.vmcore.builders import new_object
from tests.vmcore.builders_objects import empty_space, entry_at, fill, fork, space_of, top, write
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_CANPERSIST, VM_INHERIT_SHARE, VM_PROT_READ
from vmcore.map.map_entry import entry_share
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.space.map_protect import vm_map_inherit
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4 * 4096, 4 * 4096))


@pytest.fixture
def world(vm):
    """A parent and a child that share one page below, and have one of their own."""
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 5})
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    assert audit(vm) == []
    yield parent, child
    for space in (parent, child):
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []


@pytest.fixture
def cached(vm):
    """The object of a file that no process maps any more."""
    space = empty_space(vm)
    vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 2 * vm.page_size, 0)
    vmspace_exit(vm, space)
    assert vm.g.cached_first
    assert audit(vm) == []
    yield vm.objects.views[vm.g.cached_first]
    cache_clear(vm)
    assert all_gone(vm) == []


def broken(vm, record, field, value):
    """The audit's words while one field holds a wrong value."""
    right = getattr(record, field)
    setattr(record, field, value)
    found = audit(vm)
    setattr(record, field, right)
    assert audit(vm) == []
    return found


def test_q1_a_reference_without_an_owner(vm, world):
    obj = top(vm, world[1])

    said = broken(vm, obj, "ref_count", 2)

    assert said == [f"Q1: object {obj.slot} counts 2 references, but has 1 entries and 0 shadowers"]


def test_q2_an_object_that_no_entry_reaches(vm, world):
    lost = new_object(vm, 1)

    assert f"Q2: object {lost.slot} is reachable from no entry" in audit(vm)
    vm_object_deallocate(vm, lost)
    assert audit(vm) == []


def test_q2_an_entry_that_is_in_no_map(vm, world):
    lost = vm.entries.allocate()

    assert audit(vm) == [f"Q2: entry {lost.slot} is in no map"]
    vm.entries.free(lost)
    assert audit(vm) == []


def test_q2_a_space_without_a_user_and_a_map_without_a_space(vm, world):
    space = world[0]
    own = space_map(vm, space)

    assert f"Q2: vmspace {space.slot} counts 0 users" in broken(vm, space, "vm_refcnt", 0)
    said = broken(vm, space, "map", world[1].map)
    assert f"Q2: map {own.slot} belongs to 0 spaces" in said


def test_q2_a_sharing_map_that_counts_wrongly(vm, world):
    parent = world[0]
    assert not vm_map_inherit(vm, space_map(vm, parent), 0x10000, 0x12000, VM_INHERIT_SHARE)
    child = fork(vm, parent)
    share = entry_share(vm, entry_at(vm, parent))

    said = broken(vm, share, "ref_count", 1)

    assert said == [f"Q2: sharing map {share.slot} counts 1 references, has 2"]
    vmspace_exit(vm, child)


def test_q2_an_object_missing_on_the_list_of_all(vm, world):
    first = vm.g.object_list_first

    said = broken(vm, vm.g, "object_list_first", vm.objects.views[first].object_list_next)

    assert any(line.startswith("Q2: object list ") for line in said)


@pytest.mark.parametrize(
    "counter",
    [
        "v_free_count",
        "v_active_count",
        "v_inactive_count",
        "v_wire_count",
        "vm_object_count",
        "vm_object_cached",
    ],
)
def test_q5_each_counter_that_is_not_the_length_it_counts(vm, world, counter):
    right = getattr(vm.g, counter)

    said = broken(vm, vm.g, counter, right + 3)

    assert [line for line in said if line.startswith(f"Q5: {counter} is {right + 3}, ")]


def test_q7_a_cached_object_that_is_referenced_or_may_not_persist(vm, cached):
    said = broken(vm, cached, "ref_count", 1)
    assert f"Q7: cached object {cached.slot} counts 1 references, mapped: False" in said

    said = broken(vm, cached, "flags", cached.flags & ~OBJ_CANPERSIST)
    assert f"A8: object {cached.slot}: 0 references, cached True" in said


def test_q7_a_cached_object_that_is_mapped(vm, cached):
    space = space_of(vm, 2)
    entry = entry_at(vm, space)

    said = broken(vm, entry, "object", vm.objects.ref(cached))

    assert f"Q7: cached object {cached.slot} counts 0 references, mapped: True" in said
    vmspace_exit(vm, space)


def test_q7_a_mark_without_a_place_in_the_list_and_a_ring(vm, cached):
    assert f"Q7: object {cached.slot} is marked cached, but not listed" in broken(vm, vm.g, "cached_first", 0)
    assert f"Q7: object {cached.slot} is cached twice" in broken(vm, cached, "cached_next", cached.slot)


def test_q7_more_cached_objects_than_the_limit(vm_of):
    vm = vm_of(files=(4096, 4096), cache_max=2)
    space = empty_space(vm)
    for number in (1, 2):
        vm_map_file(vm, space_map(vm, space), vm.vnodes.views[number], vm.page_size, 0)
    vmspace_exit(vm, space)
    assert audit(vm) == []

    vm.config = replace(vm.config, cache_max=1)

    assert "Q7: 2 objects are cached, the limit is 1" in audit(vm)


def test_a13_a_mapping_left_behind_when_a_nearer_page_appeared(vm, world):
    parent, child = world
    below = vm.objects(top(vm, child).shadow)
    old = next(
        page for page in vm.pages.views[1:] if page.object == vm.objects.ref(below) and not page.offset
    )
    mapping = next(one for one in vm.mappings.live() if one.frame != old.slot and one.va == 0x10000)
    assert vm.pages.views[mapping.frame].object == vm.objects.ref(top(vm, child))
    right, shown = mapping.prot, mapping.frame

    mapping.prot, mapping.frame = VM_PROT_READ, old.slot
    said = audit(vm)
    mapping.prot, mapping.frame = right, shown

    slot = space_map(vm, child).slot
    assert f"A13: map {slot} maps 0x10000 to page {old.slot}, where its chain shows page {shown}" in said
    assert parent.slot != child.slot


def test_a14_a_mapping_that_its_frame_does_not_list(vm, world):
    page = next(page for page in vm.pages.views[1:] if page.pv_first)

    said = broken(vm, page, "pv_first", 0)

    assert f"A14: page {page.slot} lists 0 mappings, the hardware has 1" in said


def test_a16_a_stale_link_is_a_violation_and_ends_only_its_own_part(vm, world):
    obj = top(vm, world[1])

    said = broken(vm, obj, "shadow", 5 << 32 | 200)

    assert any(line.startswith("A16: a stale link ends audit_objects: ") for line in said)
    assert broken(vm, vm.g, "v_free_count", 1)[0].startswith("Q5: v_free_count is 1")
