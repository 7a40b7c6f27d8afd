"""mlock and munlock: what a wired range promises, and what every map operation does to one."""

import pytest

from tests.vmcore.builders import failing
from tests.vmcore.builders_objects import (
    BASE,
    contents,
    entry_at,
    fill,
    fork,
    page_at,
    page_out_step,
    read,
    resident,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    PG_ACTIVE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
)
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm_error import VmError, VmFault


@pytest.fixture
def space(vm):
    """Eight pages at BASE; afterwards everything must be gone."""
    it = space_of(vm, 8)
    yield it
    vmspace_exit(vm, it)
    assert all_gone(vm) == []
    assert vm.g.v_wire_count == 0


def wire(vm, space, first, last):
    return vm_map_pageable(vm, space_map(vm, space), va(vm, first), va(vm, last), True)


def unwire(vm, space, first, last):
    return vm_map_pageable(vm, space_map(vm, space), va(vm, first), va(vm, last), False)


def protect(vm, space, first, last, protection):
    assert vm_map_protect(vm, space_map(vm, space), va(vm, first), va(vm, last), protection) == KERN_SUCCESS


def wired(vm, space, pages=8):
    """wired_count of the entry at each page; None where nothing is mapped."""
    return [entry_at(vm, space, page).wired_count for page in range(pages)]


# --- the promise


def test_wired_pages_are_there_at_once_and_no_shortage_takes_them(vm, space):
    write(vm, space, 1, 5)
    swap_out(vm, top(vm, space))

    assert wire(vm, space, 0, 3) == KERN_SUCCESS

    faults = vm.me.stats.v_faults
    page_out_step(vm)
    assert contents(vm, space, 3) == [0, 5, 0]
    write(vm, space, 2, 9)
    assert vm.me.stats.v_faults == faults, "an access to wired memory needed a fault"
    assert resident(vm, top(vm, space)) == [0, 1, 2]
    assert vm.g.v_wire_count == 3
    assert wired(vm, space) == [1, 1, 1, 0, 0, 0, 0, 0]
    assert audit(vm) == []


def test_unwired_pages_can_leave_again(vm, space):
    wire(vm, space, 0, 2)
    write(vm, space, 1, 4)

    assert unwire(vm, space, 0, 2) == KERN_SUCCESS

    assert vm.g.v_wire_count == 0
    assert page_at(vm, top(vm, space), 1).flags_p & PG_ACTIVE
    assert audit(vm) == []
    page_out_step(vm)
    assert resident(vm, top(vm, space)) == []
    assert read(vm, space, 1) == 4


def test_wirings_of_a_range_count(vm, space):
    wire(vm, space, 0, 4)
    wire(vm, space, 2, 6)

    assert wired(vm, space) == [1, 1, 2, 2, 1, 1, 0, 0]
    assert vm.g.v_wire_count == 6
    unwire(vm, space, 0, 4)
    assert wired(vm, space) == [0, 0, 1, 1, 1, 1, 0, 0]
    assert vm.g.v_wire_count == 4
    assert audit(vm) == []


def test_a_page_that_two_spaces_wire_stays_until_both_let_go(vm_of):
    vm = vm_of(files=(8 * 4096,))
    spaces = [space_of(vm, 1), space_of(vm, 1)]
    for one in spaces:
        vm_map_file(vm, space_map(vm, one), vm.vnodes.views[1], 4 * vm.page_size, 0, True, va(vm, 2))
        assert wire(vm, one, 2, 4) == KERN_SUCCESS
    assert vm.g.v_wire_count == 2
    page = page_at(vm, top(vm, spaces[0], 2), 0)
    assert page.wire_count == 2
    assert audit(vm) == []

    vmspace_exit(vm, spaces[0])

    assert (page.wire_count, vm.g.v_wire_count) == (1, 2)
    assert audit(vm) == []
    vmspace_exit(vm, spaces[1])
    assert (page.wire_count, vm.g.v_wire_count) == (0, 0)
    assert audit(vm) == []


# --- what is refused, and that nothing is left of it


def test_a_range_with_a_hole_is_not_wired_at_all(vm, space):
    vm_deallocate(vm, space_map(vm, space), va(vm, 3), vm.page_size)

    assert wire(vm, space, 0, 8) == KERN_INVALID_ADDRESS
    assert wire(vm, space, 6, 9) == KERN_INVALID_ADDRESS

    assert [entry_at(vm, space, page).wired_count for page in (0, 2, 4, 7)] == [0, 0, 0, 0]
    assert vm.g.v_wire_count == 0
    assert audit(vm) == []


def test_what_is_not_wired_throughout_is_not_unwired(vm, space):
    wire(vm, space, 2, 4)

    assert unwire(vm, space, 1, 4) == KERN_INVALID_ARGUMENT

    assert wired(vm, space) == [0, 0, 1, 1, 0, 0, 0, 0]
    assert vm.g.v_wire_count == 2


@pytest.mark.parametrize(
    "bad", [(BASE + 1, BASE + 4096), (BASE, BASE + 5), (BASE, BASE), (BASE + 4096, BASE)]
)
@pytest.mark.parametrize("on", [True, False])
def test_only_whole_pages_can_be_wired(vm, space, bad, on):
    start, end = bad

    assert vm_map_pageable(vm, space_map(vm, space), start, end, on) == KERN_INVALID_ARGUMENT


def test_a_page_that_cannot_be_read_undoes_the_whole_wiring(vm, space):
    fill(vm, space, {page: page + 1 for page in range(8)})
    swap_out(vm, top(vm, space), 5)
    protect(vm, space, 4, 8, VM_PROT_READ)  # two entries: the first one is wired when the second fails
    wire(vm, space, 1, 2)
    vm.io.hook = failing("swap_read")

    assert wire(vm, space, 0, 8) == KERN_PROTECTION_FAILURE

    vm.io.hook = None
    assert wired(vm, space) == [0, 1, 0, 0, 0, 0, 0, 0]
    assert vm.g.v_wire_count == 1
    assert audit(vm) == []
    assert contents(vm, space, 8) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert wire(vm, space, 0, 8) == KERN_SUCCESS
    assert audit(vm) == []


def test_no_more_than_a_third_of_memory_can_be_wired(vm):
    limit = vm.config.pages // 3
    space = space_of(vm, 2 * limit)
    assert wire(vm, space, 0, limit + 1) == KERN_RESOURCE_SHORTAGE
    assert vm.me.stats.v_faults == 0, "more than the limit was tried"
    assert wire(vm, space, 0, limit - 2) == KERN_SUCCESS

    assert wire(vm, space, limit, limit + 4) == KERN_RESOURCE_SHORTAGE

    assert vm.g.v_wire_count == limit - 2
    assert entry_at(vm, space, limit).wired_count == 0
    assert audit(vm) == []
    assert wire(vm, space, limit, limit + 2) == KERN_SUCCESS
    assert vm.g.v_wire_count == limit
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


@pytest.mark.parametrize(("limit", "code"), [(3, KERN_SUCCESS), (2, KERN_RESOURCE_SHORTAGE)])
def test_the_limit_itself_may_be_reached_by_a_second_range(vm, space, limit, code):
    vm.g.v_wire_max = limit
    assert wire(vm, space, 0, 2) == KERN_SUCCESS

    assert wire(vm, space, 1, 3) == code
    assert vm.g.v_wire_count == (3 if code == KERN_SUCCESS else 2)

    assert wire(vm, space, 0, 2) == KERN_SUCCESS, "what is wired already needs no more"


def test_without_a_record_to_clip_with_nothing_is_wired(vm_of):
    vm = vm_of(entries=2)
    space = space_of(vm, 8)

    assert wire(vm, space, 2, 4) == KERN_RESOURCE_SHORTAGE

    assert vm.g.v_wire_count == 0
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


# --- other operations on a wired range


def test_unmapping_unwires_first(vm, space):
    wire(vm, space, 0, 6)

    vm_deallocate(vm, space_map(vm, space), va(vm, 2), 2 * vm.page_size)

    assert vm.g.v_wire_count == 4
    assert audit(vm) == []
    vm_allocate(vm, space_map(vm, space), 3 * vm.page_size, va(vm, 3))  # over a hole and a wired page
    assert vm.g.v_wire_count == 2 + 0
    assert audit(vm) == []


def test_rights_taken_from_a_wired_range_and_given_back_leave_it_wired(vm, space):
    wire(vm, space, 0, 2)
    write(vm, space, 0, 3)

    protect(vm, space, 0, 2, VM_PROT_NONE)
    with pytest.raises(VmFault):
        read(vm, space, 0)
    assert audit(vm) == []
    protect(vm, space, 0, 2, VM_PROT_ALL)

    assert read(vm, space, 0) == 3
    write(vm, space, 0, 4)
    assert vm.g.v_wire_count == 2
    assert audit(vm) == []
    assert unwire(vm, space, 0, 2) == KERN_SUCCESS


def test_memory_without_rights_can_be_wired(vm, space):
    write(vm, space, 0, 3)
    protect(vm, space, 0, 2, VM_PROT_NONE)

    assert wire(vm, space, 0, 2) == KERN_SUCCESS

    assert vm.g.v_wire_count == 2
    assert audit(vm) == []
    with pytest.raises(VmFault):
        read(vm, space, 0)


def test_wired_memory_is_not_forgotten_and_not_moved(vm, space):
    fill(vm, space, {0: 1, 1: 2, 2: 3})
    wire(vm, space, 1, 2)
    amap, size = space_map(vm, space), vm.page_size

    assert vm_map_discard(vm, amap, va(vm, 0), va(vm, 3)) == KERN_INVALID_ARGUMENT
    with pytest.raises(VmError) as moved:
        vm_map_move(vm, amap, va(vm, 0), 3 * size, 3 * size, va(vm, 100))
    assert moved.value.code == KERN_INVALID_ARGUMENT
    with pytest.raises(VmError) as grown:
        vm_map_move(vm, amap, va(vm, 0), 3 * size, 4 * size)
    assert grown.value.code == KERN_INVALID_ARGUMENT

    assert contents(vm, space, 3) == [1, 2, 3]
    assert wired(vm, space) == [0, 1, 0, 0, 0, 0, 0, 0]
    assert audit(vm) == []
    assert vm_map_move(vm, amap, va(vm, 0), 8 * size, size) == va(vm, 0)  # shrinking needs no move
    assert vm.g.v_wire_count == 0
    assert audit(vm) == []


# --- fork


def test_a_fork_copies_wired_pages_at_once_and_the_child_has_nothing_wired(vm, space):
    fill(vm, space, {page: page + 1 for page in range(8)})
    wire(vm, space, 2, 5)
    frames = [page_at(vm, top(vm, space, 2), page).slot for page in (2, 3, 4)]

    child = fork(vm, space)

    assert wired(vm, child) == [0] * 8
    assert top(vm, child, 2) is not top(vm, space, 2)
    assert not entry_at(vm, space, 2).needs_copy
    assert not entry_at(vm, child, 2).needs_copy
    assert contents(vm, child, 8) == [1, 2, 3, 4, 5, 6, 7, 8]
    write(vm, space, 3, 30)
    write(vm, child, 4, 40)
    assert (read(vm, child, 3), read(vm, space, 4)) == (4, 5)
    assert [page_at(vm, top(vm, space, 2), page).slot for page in (2, 3, 4)] == frames
    assert vm.g.v_wire_count == 3
    assert audit(vm) == []
    vmspace_exit(vm, child)


def test_a_fork_without_memory_for_the_copies_leaves_nothing(vm, space):
    wire(vm, space, 0, 8)
    vm.g.daemon_stop = 1  # no thread frees memory: VM_WAIT says so at once
    hog = space_of(vm, 128)
    with pytest.raises(VmFault):
        for page in range(128):
            write(vm, hog, page, 1)

    with pytest.raises(VmError) as refused:
        fork(vm, space)

    assert refused.value.code == KERN_RESOURCE_SHORTAGE
    assert wired(vm, space) == [1] * 8
    assert audit(vm) == []
    vmspace_exit(vm, hog)
    vm.g.daemon_stop = 0


# --- the audit


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda vm, space: setattr(page_at(vm, top(vm, space), 0), "wire_count", 2), "counts 2 wirings"),
        (lambda vm, space: setattr(entry_at(vm, space), "wired_count", 0), "but no wired entry"),
        (lambda vm, space: setattr(entry_at(vm, space, 1), "wired_count", 1), "has no wired mapping"),
        (lambda vm, _: setattr(vm.g, "v_wire_count", 3), "v_wire_count is 3"),
    ],
)  # fmt: skip
def test_the_audit_sees_a_wiring_that_does_not_add_up(vm, space, break_it, words):
    wire(vm, space, 0, 1)
    page, entries = page_at(vm, top(vm, space), 0), [entry_at(vm, space, 0), entry_at(vm, space, 1)]
    assert audit(vm) == []

    break_it(vm, space)
    found = " ".join(audit(vm))

    page.wire_count = vm.g.v_wire_count = 1
    entries[0].wired_count, entries[1].wired_count = 1, 0
    assert words in found
    assert audit(vm) == []
