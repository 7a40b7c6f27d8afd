"""What cannot be in a picture: found without a lock in records that are broken on purpose, else nowhere."""

import pytest

from stress.dump_sections.inconsistencies import contradictions
from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import below, fork, page_at, space_of, swap_out, top, write
from vmcore.constants import OBJ_DYING, PG_BUSY


@pytest.fixture
def vm(world):
    world.arena.native.sit("looker")
    return world.vm


@pytest.fixture
def family(vm):
    """A chain of two; the lower object has pages in swap."""
    parent = space_of(vm, 3)
    for page in range(3):
        write(vm, parent, page, page)
    bottom = top(vm, parent)
    swap_out(vm, bottom, 0)
    child = fork(vm, parent)
    write(vm, child, 1, 7)
    front = top(vm, child)
    assert below(vm, front) == bottom
    return front, bottom


def test_nothing_contradicts_anything_in_a_vm_that_is_right(vm, family):
    assert contradictions(vm) == []


def test_a_pager_that_its_object_does_not_know_is_told_with_what_it_holds(vm, family):
    front, bottom = family
    mine, bottom.pager = bottom.pager, 0
    pager = vm.pagers(mine)

    told = contradictions(vm)

    assert told == [
        f"A9: pager {pager.slot} (valid 3 of 3) belongs to object {bottom.slot}, whose pager is 0"
    ]
    bottom.pager = mine
    assert contradictions(vm) == []
    assert front.shadow == vm.objects.ref(bottom)


def test_more_valid_pages_than_there_are_and_a_name_that_cannot_be_found(vm, family):
    _, bottom = family
    pager = vm.pagers(bottom.pager)
    pager.sw_cnt, pager.is_named = 4, 1

    told = contradictions(vm)

    assert f"A11: pager {pager.slot} counts 4 valid pages of 3" in told
    assert f"A11: pager {pager.slot} counts 4 pages, its blocks hold 3" in told
    assert any("has a name" in line and "INTERNAL" in line for line in told)
    pager.sw_cnt, pager.is_named = 3, 0


def test_a_copy_object_that_is_dying(vm, family):
    front, bottom = family
    bottom.copy = vm.objects.ref(front)
    front.flags |= OBJ_DYING

    told = contradictions(vm)

    assert f"A7: object {front.slot} is dying, and still the copy-object of object {bottom.slot}" in told
    bottom.copy = 0
    front.flags &= ~OBJ_DYING


def test_the_holder_of_the_lock_may_be_in_the_middle_and_is_named(vm, family):
    front, _ = family
    page = page_at(vm, front, 1)
    page.flags_o |= PG_BUSY

    alone = contradictions(vm)
    with locked(front):
        held = contradictions(vm)

    fact = f"A4: page {page.slot} of object {front.slot} is busy, and no thread pages there"
    assert alone == [fact]
    assert held == [f"{fact} (while looker holds its lock)"]
    page.flags_o &= ~PG_BUSY


def test_a_broken_link_ends_a_look_and_hides_nothing_else(vm, family):
    front, bottom = family
    pager = vm.pagers(bottom.pager)
    pager.sw_cnt += 9
    kept, front.shadowers_first = front.shadowers_first, 0xDBDBDBDB

    assert any(f"pager {pager.slot} counts 12" in line for line in contradictions(vm))
    front.shadowers_first = kept
    pager.sw_cnt -= 9
