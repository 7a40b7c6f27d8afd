"""Quiescent invariants of backing store: each is broken once, and the audit names it."""

import os

import pytest

from tests.vmcore.builders_objects import contents, fill, fork, page_at, read, space_of, swap_out, top, write
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import PG_CLEAN
from vmcore.space.vmspace import vmspace_exit


@pytest.fixture
def world(vm):
    """A space whose four pages are in swap, and read back in: resident, CLEAN, and valid there."""
    space = space_of(vm, 4)
    fill(vm, space, {0: 1, 1: 2, 2: 3, 3: 4})
    swap_out(vm, top(vm, space))
    assert contents(vm, space, 4) == [1, 2, 3, 4]
    assert audit(vm) == []
    yield space
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


@pytest.fixture
def pager(vm, world):
    return vm.pagers(top(vm, world).pager)


@pytest.fixture
def block(vm, pager):
    return vm.swap_blocks.views[pager.sw_first]


def broken(vm, record, field, value):
    """The audit's words while one field holds a wrong value."""
    right = getattr(record, field)
    setattr(record, field, value)
    found = audit(vm)
    setattr(record, field, right)
    assert audit(vm) == []
    return found


def test_q6_swap_that_is_in_use_without_an_owner(vm, world):
    used = vm.g.swap_used

    said = broken(vm, vm.g, "swap_used", used + 4)

    assert f"Q6: swap_used is {used + 4}, the swap map has {used}" in said


def test_q6_a_pager_that_no_object_has(vm, world, pager):
    lost = vm.pagers.allocate()

    assert audit(vm) == [f"Q6: pager {lost.slot} is installed in no object"]
    vm.pagers.free(lost)


def test_a9_a_pager_that_two_objects_have(vm, world, pager):
    other = space_of(vm, 1)
    write(vm, other, 0, 9)
    obj = top(vm, other)

    said = broken(vm, obj, "pager", vm.pagers.ref(pager))

    assert f"A9: pager {pager.slot} is installed in objects {[top(vm, world).slot, obj.slot]}" in said
    vmspace_exit(vm, other)


def test_a11_a_count_of_valid_pages_that_is_wrong(vm, world, pager):
    assert broken(vm, pager, "sw_cnt", 3) == [f"A11: pager {pager.slot} counts 3 valid pages, has 4"]


def test_a11_a_block_without_a_valid_page(vm, world, pager, block):
    said = broken(vm, block, "swb_mask", 0)

    name = f"A11: swap block {block.slot} of pager {pager.slot}"
    assert f"{name} holds no valid page and no write is in flight" in said


def test_a11_a_block_that_lies_where_another_block_lies(vm, world, pager, block):
    said = broken(vm, block, "swb_block", block.swb_block + 4)

    name = f"A11: swap block {block.slot} of pager {pager.slot}"
    assert f"{name} lies at {block.swb_block + 4}, where blocks [0] live" in said


def test_a11_a_block_that_hangs_on_no_pager(vm, world, pager, block):
    said = broken(vm, pager, "sw_first", 0)

    assert f"A11: swap block {block.slot} hangs on no pager" in said


def test_a11_a_valid_bit_beyond_the_end(vm, world, pager, block):
    said = broken(vm, pager, "sw_osize", 2 * vm.page_size)

    assert f"A11: block {block.slot} of pager {pager.slot} is valid beyond page 2" in said


def test_a11_a_page_of_the_map_that_is_taken_and_has_no_owner(vm, world):
    vm.swap_map[100] = 1
    said = audit(vm)
    vm.swap_map[100] = 0

    assert "A11: swap page 100 is marked 1, its owner is block 0" in said


def test_a12_a_clean_page_that_differs_from_its_copy_in_swap(vm, world, block):
    page = page_at(vm, top(vm, world), 2)
    assert page.flags_o & PG_CLEAN
    where = block.swb_block + 2

    right = vm.frame(page.slot)[100]
    vm.frame(page.slot)[100] = right ^ 0xFF
    said = audit(vm)
    vm.frame(page.slot)[100] = right

    name = f"A12: page {page.slot} of object {top(vm, world).slot} at 0x2000 is CLEAN"
    assert said == [f"{name}, but differs from swap page {where} at byte 100"]
    assert audit(vm) == []


def test_a12_what_another_program_wrote_to_the_swap_file_is_seen_too(vm, world, block):
    os.pwrite(vm.swap_fd, b"x", (block.swb_block + 1) * vm.page_size + 7)

    assert [line[:4] for line in audit(vm)] == ["A12:"]
    swap_out(vm, top(vm, world))  # the copy in memory goes, and nothing contradicts any more
    assert audit(vm) == []


def test_a12_a_page_stored_to_since_is_dirty_whatever_its_flag_says(vm, world):
    write(vm, world, 2, 77)
    page = page_at(vm, top(vm, world), 2)

    assert audit(vm) == []
    assert read(vm, world, 2) == 77
    child = fork(vm, world)
    assert page.wire_count == 0
    assert audit(vm) == []
    vmspace_exit(vm, child)
