"""Overlay, bypass, and pairs of objects that must be left alone."""

import pytest

from harness.errors import Panic
from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import (
    below,
    chain,
    contents,
    fill,
    fork,
    live_objects,
    page_at,
    page_out_step,
    read,
    resident,
    space_of,
    swap_out,
    swapped,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_COLLAPSING, OBJ_FADING, PG_BUSY, PG_CLEAN, PG_INACTIVE, PG_LAUNDRY
from vmcore.object import collapse
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object_pages import vm_object_deactivate_pages
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.space.map_user import vm_deallocate
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def pair(vm):
    """A parent whose front object (page 1) lies on what it shares with a child."""
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    write(vm, parent, 1, 20)
    return parent, child


def test_a_child_that_exits_unwritten_leaves_the_parent_one_object(vm, pair):
    parent, child = pair
    front = top(vm, parent)

    vmspace_exit(vm, child)

    assert chain(vm, parent) == [front.slot]
    assert resident(vm, front) == [0, 1, 2]
    assert contents(vm, parent, 3) == [1, 20, 3]
    assert vm.me.stats.object_collapses == 1
    assert audit(vm) == []
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_a_child_that_wrote_everything_leaves_nothing_in_the_chain(vm, pair):
    parent, child = pair
    fill(vm, child, {0: 5, 1: 6, 2: 7})

    vmspace_exit(vm, child)

    assert len(chain(vm, parent)) == 1
    assert contents(vm, parent, 3) == [1, 20, 3]
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_many_forks_do_not_grow_the_chain(vm):
    parent = space_of(vm, 2)
    for round_number in range(1, 20):
        write(vm, parent, round_number % 2, round_number)
        child = fork(vm, parent)
        write(vm, child, 0, 1000)
        write(vm, parent, 1, 500 + round_number)
        vmspace_exit(vm, child)
        assert len(chain(vm, parent)) == 1
    assert len(live_objects(vm)) == 1
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_the_middle_one_of_three_goes_and_the_front_shadows_the_last(vm):
    parent = space_of(vm, 4)
    fill(vm, parent, {0: 1, 1: 2, 2: 3, 3: 4})
    child = fork(vm, parent)
    write(vm, parent, 1, 20)
    second = fork(vm, parent)
    vm_deallocate(vm, space_map(vm, parent), va(vm, 0), vm.page_size)
    write(vm, parent, 2, 30)
    front, base = top(vm, parent, 2), top(vm, child)
    assert chain(vm, parent, 2) == [front.slot, top(vm, second).slot, base.slot]

    vmspace_exit(vm, second)

    assert chain(vm, parent, 2) == [front.slot, base.slot]
    assert (base.ref_count, front.shadow_offset) == (2, vm.page_size)
    assert [read(vm, parent, page) for page in (1, 2, 3)] == [20, 30, 4]
    assert contents(vm, child, 4) == [1, 2, 3, 4]
    assert audit(vm) == []
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


@pytest.mark.parametrize("front_swapped", [False, True])
@pytest.mark.parametrize("back_swapped", [(), (0,), (0, 1, 2)])
def test_overlay_merges_whatever_is_in_memory_and_whatever_is_in_swap(vm, pair, front_swapped, back_swapped):
    parent, child = pair
    front = top(vm, parent)
    if front_swapped:
        swap_out(vm, front)
    if back_swapped:
        swap_out(vm, below(vm, front), *back_swapped)

    vmspace_exit(vm, child)

    assert chain(vm, parent) == [front.slot]
    assert contents(vm, parent, 3) == [1, 20, 3]
    assert audit(vm) == []
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_a_pager_is_handed_over_to_a_front_that_has_none(vm, pair):
    parent, child = pair
    front = top(vm, parent)
    swap_out(vm, below(vm, front))
    pager = vm.pagers(below(vm, front).pager)

    vmspace_exit(vm, child)

    assert vm.pagers(front.pager) is pager
    assert swapped(vm, front) == 2, "the page that the front hides must be trimmed"
    assert vm.me.stats.v_pageins == 0
    assert audit(vm) == []
    vmspace_exit(vm, parent)


def test_a_moved_page_is_dirty_for_the_fronts_own_pager(vm, pair):
    parent, child = pair
    front = top(vm, parent)
    swap_out(vm, front)
    swap_out(vm, below(vm, front), 0)  # page 2 stays: clean, and in backing's swap

    vmspace_exit(vm, child)

    moved = page_at(vm, front, 2)
    assert not moved.flags_o & PG_CLEAN
    swap_out(vm, front)
    assert contents(vm, parent, 3) == [1, 20, 3]
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_a_moved_page_that_is_inactive_is_laundry(vm, pair):
    parent, child = pair
    front = top(vm, parent)
    back = below(vm, front)
    swap_out(vm, front)
    swap_out(vm, back, 0)  # page 2 stays: clean, and in backing's swap
    with locked(back):
        vm_object_deactivate_pages(vm, back)
    assert page_at(vm, back, 2).flags_p == PG_INACTIVE

    vmspace_exit(vm, child)

    assert page_at(vm, front, 2).flags_p == PG_INACTIVE | PG_LAUNDRY, "the daemon would never write it"
    page_out_step(vm)
    assert resident(vm, front) == []
    assert contents(vm, parent, 3) == [1, 20, 3]
    vmspace_exit(vm, parent)


def test_two_collapses_of_a_clipped_front_find_the_right_slots(vm):
    size = vm.page_size
    parent = space_of(vm, 8)
    fill(vm, parent, {page: 100 + page for page in range(8)})
    child = fork(vm, parent)
    vm_deallocate(vm, space_map(vm, parent), va(vm, 0), 4 * size)
    write(vm, parent, 4, 204)
    swap_out(vm, top(vm, child))
    vmspace_exit(vm, child)
    assert top(vm, parent, 4).paging_offset == 4 * size

    second = fork(vm, parent)
    write(vm, parent, 5, 205)
    swap_out(vm, top(vm, parent, 4))
    vmspace_exit(vm, second)

    for _ in range(2):
        assert [read(vm, parent, page) for page in range(4, 8)] == [204, 205, 106, 107]
        assert audit(vm) == []
        page_out_step(vm)  # what is clean must really be in the pager
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_collapse_refuses_while_either_object_pages(vm, pair):
    parent, child = pair
    front, back = top(vm, parent), below(vm, top(vm, parent))
    for paging in (front, back):
        with locked(paging):
            vm_object_paging_begin(vm, paging)
        vmspace_exit(vm, child) if paging is front else None

        with locked(front):
            assert vm_object_collapse(vm, front) == (0, False)

        assert below(vm, front) is back
        with locked(paging):
            vm_object_paging_end(vm, paging)
    with locked(front):
        assert vm_object_collapse(vm, front)[0] == 1
    vmspace_exit(vm, parent)


def test_our_own_paging_share_does_not_hold_collapse_off(vm, pair):
    parent, child = pair
    front = top(vm, parent)
    with locked(front):
        vm_object_paging_begin(vm, front)
    vmspace_exit(vm, child)

    with locked(front):
        assert vm_object_collapse(vm, front, False, 1)[0] == 1
        vm_object_paging_end(vm, front)

    vmspace_exit(vm, parent)


@pytest.mark.parametrize("flag", [OBJ_FADING, OBJ_COLLAPSING])
def test_collapse_leaves_a_backing_object_of_another_thread_alone(vm, pair, flag):
    parent, child = pair
    front, back = top(vm, parent), below(vm, top(vm, parent))
    back.flags |= flag
    vmspace_exit(vm, child)

    with locked(front):
        assert vm_object_collapse(vm, front) == (0, False)

    assert below(vm, front) is back
    back.flags &= ~flag
    vmspace_exit(vm, parent)


def test_with_the_historic_switch_off_no_link_goes(vm, pair, monkeypatch):
    parent, child = pair
    monkeypatch.setattr(collapse, "vm_object_collapse_allowed", False)

    vmspace_exit(vm, child)

    assert len(chain(vm, parent)) == 2
    assert contents(vm, parent, 3) == [1, 20, 3]
    monkeypatch.undo()
    with locked(top(vm, parent)):
        assert vm_object_collapse(vm, top(vm, parent)) == (1, False)
    vmspace_exit(vm, parent)


def test_a_collapsing_front_is_not_collapsed_again(vm, pair):
    parent, child = pair
    front = top(vm, parent)
    front.flags |= OBJ_COLLAPSING
    vmspace_exit(vm, child)

    with locked(front):
        assert vm_object_collapse(vm, front) == (0, False)

    front.flags &= ~OBJ_COLLAPSING
    vmspace_exit(vm, parent)


@pytest.mark.parametrize("back_swapped", [(), (1,), (0, 1, 2)])
@pytest.mark.parametrize("front_swapped", [False, True])
def test_bypass_skips_a_backing_object_that_is_hidden_completely(vm, back_swapped, front_swapped):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child, third = fork(vm, parent), fork(vm, parent)
    fill(vm, child, {0: 5, 1: 6})
    back = top(vm, parent)
    if back_swapped:
        swap_out(vm, back, *back_swapped)
    if front_swapped:
        swap_out(vm, top(vm, child))
    assert vm.me.stats.object_bypasses == 0

    write(vm, child, 2, 7)

    assert vm.me.stats.object_bypasses == 1
    assert len(chain(vm, child)) == 1
    assert back.ref_count == 2
    assert contents(vm, child, 3) == [5, 6, 7]
    assert contents(vm, third, 3) == contents(vm, parent, 3) == [1, 2, 3]
    assert audit(vm) == []
    for space in (parent, child, third):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_the_late_release_of_a_bypass_lets_the_other_shadower_collapse(vm, pair):
    parent, child = pair
    fill(vm, child, {0: 5, 1: 6})
    assert len(chain(vm, parent)) == 2

    write(vm, child, 2, 7)

    assert vm.me.stats.object_bypasses == vm.me.stats.object_collapses == 1
    assert len(chain(vm, parent)) == len(chain(vm, child)) == 1
    assert contents(vm, parent, 3) == [1, 20, 3]
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_bypass_refuses_when_one_page_of_the_window_would_disappear(vm, pair):
    parent, child = pair
    back = below(vm, top(vm, parent))
    fill(vm, child, {0: 5, 1: 6})

    with locked(top(vm, child)):
        assert vm_object_collapse(vm, top(vm, child))[0] == 0

    assert below(vm, top(vm, child)) is back
    assert contents(vm, child, 3) == [5, 6, 3]
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_a_page_just_past_the_window_does_not_block_bypass(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    vm_deallocate(vm, space_map(vm, child), va(vm, 2), vm.page_size)
    fill(vm, child, {0: 5})
    assert vm.me.stats.object_bypasses == 0

    fill(vm, child, {1: 6})

    assert vm.me.stats.object_bypasses == 1
    assert len(chain(vm, child)) == 1
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_an_overlay_that_is_disturbed_during_page_in_leaves_a_sound_pair(vm, pair, monkeypatch):
    parent, child = pair
    front = top(vm, parent)
    swap_out(vm, front)
    swap_out(vm, below(vm, front))

    def disturb(kind, what, length):
        monkeypatch.undo()
        front.paging_in_progress = 1  # as if a fault had begun; this thread is in a read

    monkeypatch.setattr(vm.io, "hook", disturb)
    vmspace_exit(vm, child)

    front.paging_in_progress = 0
    assert len(chain(vm, parent)) == 2
    assert audit(vm) == []
    assert contents(vm, parent, 3) == [1, 20, 3]
    with locked(front):
        vm_object_collapse(vm, front)
    assert len(chain(vm, parent)) == 1
    assert contents(vm, parent, 3) == [1, 20, 3]
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def test_terminating_an_object_with_a_busy_page_is_fatal(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    obj = top(vm, space)
    page = page_at(vm, obj, 0)
    page.flags_o |= PG_BUSY

    with pytest.raises(Panic, match="busy"):
        vmspace_exit(vm, space)

    page.flags_o &= ~PG_BUSY
    obj.lock.release()
