"""The audit sees what it promises to see: each rule broken once, on purpose."""

import pytest

from tests.vmcore.builders_objects import entry_at, fill, fork, space_of, top, write
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_FADING, PG_BUSY, PG_CLEAN, PG_LAUNDRY
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.show.show import show_chain, show_entry, show_map, show_object, show_page
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def world(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 5})
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    assert audit(vm) == []
    yield parent, child
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def broken(vm, record, field, value):
    """The audit's words while one field holds a wrong value."""
    right = getattr(record, field)
    setattr(record, field, value)
    found = audit(vm)
    setattr(record, field, right)
    assert audit(vm) == []
    return " ".join(found)


def test_a_wrong_reference_count_is_named(vm, world):
    obj = top(vm, world[0])
    assert f"Q1: object {obj.slot} counts 7" in broken(vm, obj, "ref_count", 7)


def test_a_flag_left_behind_is_named(vm, world):
    obj = top(vm, world[1])
    assert f"Q3: object {obj.slot} is FADING" in broken(vm, obj, "flags", obj.flags | OBJ_FADING)
    assert "paging_in_progress 1" in broken(vm, obj, "paging_in_progress", 1)


def test_a_lost_shadow_link_is_named(vm, world):
    obj = top(vm, world[1])
    below = vm.objects(obj.shadow)
    assert f"A6: object {obj.slot} is missing" in broken(vm, below, "shadowers_first", 0)


def test_a_page_that_is_busy_or_miscounted_or_lost_is_named(vm, world):
    obj = top(vm, world[1])
    page = object_pages(vm, obj)[0]
    assert f"Q3: page {page.slot} is BUSY" in broken(vm, page, "flags_o", page.flags_o | PG_BUSY)
    assert f"A2: object {obj.slot} counts 3 pages" in broken(vm, obj, "resident_page_count", 3)
    assert f"A3: page {page.slot}" in broken(vm, page, "flags_p", 0)
    assert "v_free_count" in broken(vm, vm.g, "v_free_count", 1)


def test_a_dirty_inactive_page_without_laundry_is_named(vm, world):
    page = object_pages(vm, top(vm, world[1]))[0]
    vm.page_queue_lock.acquire()
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()
    assert not page.flags_o & PG_CLEAN
    assert f"Q13: page {page.slot}" in broken(vm, page, "flags_p", page.flags_p & ~PG_LAUNDRY)


def test_a_broken_entry_list_and_rights_beyond_the_entry_are_named(vm, world):
    parent, child = world
    entry = entry_at(vm, child)
    assert "out of order" in broken(vm, entry, "end", entry.start)
    assert "entries" in broken(vm, space_map(vm, parent), "nentries", 9)
    assert "A13" in broken(vm, entry, "needs_copy", 1)
    assert "A13" in broken(vm, entry, "protection", 1)


def test_what_is_left_over_is_named(vm, world):
    assert any("is still alive" in line for line in all_gone(vm))
    assert any("records of entries" in line for line in all_gone(vm))


def test_every_record_is_one_line(vm, world):
    _, child = world
    obj = top(vm, child)
    below = vm.objects(obj.shadow)
    page = object_pages(vm, obj)[0]

    assert show_chain(vm, obj) == f"O{obj.slot}(ref1,1p)→O{below.slot}(ref2,2p)"
    assert show_object(vm, obj) == f"O{obj.slot} ref 1 pip 0 pages 1 size 2 INTERNAL shadow O{below.slot}+0"
    assert show_page(vm, page) == f"P{page.slot} of O{obj.slot}+0 TABLED ACTIVE"
    assert show_entry(vm, entry_at(vm, child)).startswith("[0x10000, 0x12000) rwx copy_on_write O")
    assert len(show_map(vm, space_map(vm, child))) == 2
