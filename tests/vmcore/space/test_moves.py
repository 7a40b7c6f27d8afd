"""mremap: what moves, what stays, what is cut, and what is refused before anything has changed."""

import pytest

from tests.vmcore.builders_files import show
from tests.vmcore.builders_objects import BASE, contents, entry_at, fill, space_of, va
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_SUCCESS,
)
from vmcore.space.map_user import vm_allocate, vm_map_move
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm_error import VmError

AWAY = 0x400000


@pytest.fixture
def space(vm):
    """Four pages at BASE; afterwards everything must be gone."""
    it = space_of(vm, 4)
    fill(vm, it, {0: 1, 1: 2, 2: 3, 3: 4})
    yield it
    assert audit(vm) == []
    vmspace_exit(vm, it)
    assert all_gone(vm) == []


def move(vm, space, old_pages, new_pages, address=None, first=0):
    size = vm.page_size
    return vm_map_move(vm, space_map(vm, space), va(vm, first), old_pages * size, new_pages * size, address)


def entries(vm, space):
    return space_map(vm, space).nentries


def test_the_same_size_changes_nothing(vm, space):
    assert move(vm, space, 2, 2) == BASE

    assert entries(vm, space) == 1
    assert entry_at(vm, space).end == va(vm, 4)
    assert contents(vm, space, 4) == [1, 2, 3, 4]


@pytest.mark.parametrize(("pages", "shown"), [(2, [1, 2]), (1, [1]), (3, [1, 2, 0])])
def test_an_address_is_where_it_moves_to_whatever_the_size(vm, space, pages, shown):
    assert move(vm, space, 2, pages, AWAY) == AWAY

    assert [show(vm, space, AWAY + n * vm.page_size) for n in range(pages)] == shown
    assert [show(vm, space, va(vm, page)) for page in (2, 3)] == [3, 4]
    assert entries(vm, space) == (3 if pages == 3 else 2)


@pytest.mark.parametrize(("pages", "wired"), [(3, 2), (2, 3)])
def test_a_smaller_size_cuts_the_end_off(vm, space, pages, wired):
    assert vm_map_pageable(vm, space_map(vm, space), va(vm, 0), va(vm, wired), True) == KERN_SUCCESS

    assert move(vm, space, 4, pages) == BASE

    assert contents(vm, space, pages) == [1, 2, 3, 4][:pages]
    assert space_map(vm, space).size == pages * vm.page_size
    assert vm.g.v_wire_count == min(pages, wired)


def test_what_grows_in_place_stays_one_entry(vm, space):
    assert move(vm, space, 4, 6) == BASE

    assert contents(vm, space, 6) == [1, 2, 3, 4, 0, 0]
    assert entries(vm, space) == 1


@pytest.mark.parametrize(
    ("old", "new", "address", "code"),
    [
        (0, 1, None, KERN_INVALID_ADDRESS),
        (1, 0, None, KERN_INVALID_ADDRESS),
        (2, 2, BASE + 4096, KERN_INVALID_ARGUMENT),  # over itself
        (2, 3, BASE - 2 * 4096, KERN_INVALID_ARGUMENT),
        (1, 1, AWAY + 1, KERN_INVALID_ARGUMENT),  # no page begins there
        (1, 1, 1 << 62, KERN_NO_SPACE),
        (1, 1, 0, KERN_NO_SPACE),
    ],
)
def test_a_refusal_has_changed_nothing(vm, space, old, new, address, code):
    with pytest.raises(VmError) as caught:
        move(vm, space, old, new, address)

    assert caught.value.code == code
    assert contents(vm, space, 4) == [1, 2, 3, 4]
    assert entries(vm, space) == 1


@pytest.mark.parametrize(("new", "address"), [(6, None), (4, AWAY), (2, AWAY)])
def test_wired_memory_keeps_its_place(vm, space, new, address):
    vm_allocate(vm, space_map(vm, space), vm.page_size, va(vm, 4))  # no room to grow in place
    assert vm_map_pageable(vm, space_map(vm, space), va(vm, 1), va(vm, 2), True) == KERN_SUCCESS

    with pytest.raises(VmError) as caught:
        move(vm, space, 4, new, address)

    assert caught.value.code == KERN_INVALID_ARGUMENT
    assert contents(vm, space, 4) == [1, 2, 3, 4]
    assert vm.g.v_wire_count == 1


@pytest.mark.parametrize(("address", "pages"), [(BASE + 4 * 4096, 2), (BASE - 2 * 4096, 2)])
def test_a_place_right_beside_it_is_no_overlap(vm, space, address, pages):
    assert move(vm, space, pages, pages, address, 2 if address > BASE else 0) == address

    assert [show(vm, space, address + n * vm.page_size) for n in range(2)] == (
        [3, 4] if address > BASE else [1, 2]
    )
