"""The sweep collapses what can be collapsed; what it leaves behind is named (Q9, Q10)."""

import sys
from functools import partial

import pytest

from stress.oracles.at_rest import come_to_rest
from tests.vmcore.builders import locked, new_page, services
from tests.vmcore.builders_objects import (
    below,
    chain,
    contents,
    fill,
    finish_writes,
    fork,
    live_objects,
    page_out_step,
    resident,
    scan,
    shadow_of,
    space_of,
    swap_out,
    swapped,
    top,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.audit.reachability import Cells
from vmcore.audit.sweep import Pair, audit_hidden, audit_pairs, collapsible, one_pass, sweep
from vmcore.constants import KERN_SUCCESS, OBJ_FADING
from vmcore.object.object_pager import ensure_pager
from vmcore.page.page import frame_alloc, frame_free
from vmcore.space.map_user import vm_deallocate, vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def parted(vm):
    """A parent with a front object of its own over one that only it uses: collapse was missed.

    The parent wrote page 0 after the fork; the object below keeps the old page 0 and pages 1 to 3.
    """
    parent = space_of(vm, 4)
    fill(vm, parent, dict.fromkeys(range(4), 1))
    miss_collapse(vm, parent, 0, 2)
    yield parent
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


def miss_collapse(vm, space, page, value):
    """What a fork, a write and an exit leave without a collapse: one more link, with one user."""
    front = shadow_of(vm, top(vm, space), 0, 4)
    entry = space_map(vm, space).first
    vm.entries.views[entry].object = vm.objects.ref(front)
    number = vm.objects(front.shadow).ref_count
    assert number == 1
    write_page(vm, front, page, value)


def swap_both_out(vm, space):
    """Front and back object, each with a pager of its own (before an object gets its first, it collapses)."""
    front, back = top(vm, space), below(vm, top(vm, space))
    for obj in (back, front):
        with locked(obj):
            assert ensure_pager(vm, obj)
        swap_out(vm, obj)
    return front, back


def write_page(vm, obj, page, value):
    """A page of the object itself, without a fault: a fault would collapse."""
    new_page(vm, obj, page, value)


def test_what_can_be_joined_is_known_from_the_records_alone(vm, parted):
    front = top(vm, parted)
    back = below(vm, front)

    assert collapsible(vm) == [Pair(front.slot, back.slot, "overlay")]
    pair = f"objects {front.slot} and {back.slot}"
    said = f"Q9: {pair} could be joined (overlay: 1 references), and the sweep left them"
    assert audit_pairs(vm, collapsible(vm)) == [said]
    back.flags |= OBJ_FADING  # another thread is at it: Q3's business
    assert collapsible(vm) == []
    back.flags &= ~OBJ_FADING


def test_a_hidden_page_below_one_user_is_named(vm, parted):
    back = below(vm, top(vm, parted))

    assert audit_hidden(vm, Cells(vm)) == [
        f"Q10: object {back.slot} has one reference and 1 pages that no thread can see, the first at 0"
    ]


def test_a_sweep_joins_them_and_frees_what_was_hidden(vm, parted):
    used = Cells(vm).used

    swept = sweep(vm)

    assert (swept.joined, swept.pairs, swept.short) == (1, [], False)
    assert len(chain(vm, parted)) == 1
    assert Cells(vm).used == used - 1 == 4
    assert audit_hidden(vm, Cells(vm)) == []
    assert audit(vm) == []
    assert contents(vm, parted, 4) == [2, 1, 1, 1]


def test_a_sweep_of_a_world_in_order_changes_nothing(vm):
    parent = space_of(vm, 4)
    fill(vm, parent, dict.fromkeys(range(4), 1))
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    before = [chain(vm, parent), chain(vm, child), live_objects(vm)]

    swept = sweep(vm)

    assert (swept.passes, swept.joined, swept.pairs) == (1, 0, [])
    assert [chain(vm, parent), chain(vm, child), live_objects(vm)] == before
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_a_sweep_goes_on_until_a_pass_changes_nothing(vm, parted):
    for page in (1, 2, 3):
        miss_collapse(vm, parted, page, 2)
    assert len(chain(vm, parted)) == 5

    swept = sweep(vm)

    assert swept.joined == 4
    assert len(chain(vm, parted)) == 1
    assert Cells(vm).used == 4
    assert contents(vm, parted, 4) == [2, 2, 2, 2]


def test_pages_in_swap_are_cells_like_others_and_are_read_in(vm, parted):
    front, back = swap_both_out(vm, parted)
    assert (swapped(vm, front), swapped(vm, back), resident(vm, back)) == (1, 4, [])
    assert Cells(vm).hidden() == {back.slot: {0}}

    swept = sweep(vm)

    assert swept.pairs == []
    assert Cells(vm).used == 4
    assert contents(vm, parted, 4) == [2, 1, 1, 1]
    assert audit(vm) == []


def test_what_its_only_other_user_hides_completely_can_be_bypassed(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 1})
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    front, back = top(vm, child), below(vm, top(vm, child))
    assert collapsible(vm) == []

    write_page(vm, front, 1, 3)
    assert collapsible(vm) == [Pair(front.slot, back.slot, "bypass")]
    swept = sweep(vm)

    assert swept.joined == 1
    assert chain(vm, child) == [front.slot]
    assert contents(vm, parent, 2) == [1, 1]
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_file_is_never_absorbed_and_its_pages_are_no_cells(vm_of):
    vm = vm_of(files=(4 * 4096,))
    space = space_of(vm, 1)
    where = vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 4 * vm.page_size, 0)
    write(vm, space, 0, 1)
    assert where

    assert collapsible(vm) == []
    assert Cells(vm).used == 1
    vmspace_exit(vm, space)


def test_a_page_that_was_unmapped_is_not_hidden_by_another_page(vm):
    space = space_of(vm, 4)
    fill(vm, space, dict.fromkeys(range(4), 1))
    obj = top(vm, space)

    assert vm_deallocate(vm, space_map(vm, space), 0x12000, 2 * vm.page_size) in (None, KERN_SUCCESS)
    cells = Cells(vm)

    assert cells.hidden() == {obj.slot: {2, 3}}
    assert [cells.watched(obj.slot, page) for page in range(4)] == [True, True, False, False]
    assert audit_hidden(vm, cells) == []
    vmspace_exit(vm, space)


def test_without_a_free_frame_unread_pages_are_not_judged(vm, parted):
    swap_both_out(vm, parted)
    taken = []
    while (page := frame_or_none(vm)) is not None:
        taken.append(page)

    swept = sweep(vm)
    for page in taken:
        give_back(vm, page)

    assert swept.short
    assert [pair.how for pair in swept.pairs] == ["overlay"]
    assert not sweep(vm).pairs


def frame_or_none(vm):
    """A frame as long as there is one beyond the reserve."""
    return frame_alloc(vm, vm.g.v_free_reserved)


def give_back(vm, page):
    frame_free(vm, page)


def test_a_daemon_makes_room_for_the_sweep(vm_of):
    vm = vm_of(pages=64, contracts=False)
    parent = space_of(vm, 4)
    fill(vm, parent, dict.fromkeys(range(4), 1))
    miss_collapse(vm, parent, 0, 2)
    swap_both_out(vm, parent)
    other = space_of(vm, 48)
    with services(vm):
        for page in range(48):
            write(vm, other, page, 5)
        rest = rests(vm)
        swept = sweep(vm, rest)
        assert (swept.pairs, swept.short) == ([], False)
        assert contents(vm, parent, 4) == [2, 1, 1, 1]
        assert contents(vm, other, 48) == [5] * 48
        for space in (parent, other):
            vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_pair_that_is_being_written_is_not_taken_for_missing(vm, parted, monkeypatch):
    """The daemon begins to write when the pass has begun: the pass is in vain, and the pair does not show."""
    scans = [scan, scan]  # active to inactive; inactive to the disk
    seen = []

    def pass_beside_the_daemon(vm):
        while scans:
            scans.pop()(vm)
        went = one_pass(vm)
        seen.append((went, collapsible(vm)))
        return went

    monkeypatch.setattr(sys.modules[sweep.__module__], "one_pass", pass_beside_the_daemon)

    try:
        swept = sweep(vm, partial(finish_writes, vm))
    finally:
        finish_writes(vm)

    assert seen[0] == (0, [])
    assert (swept.joined, swept.pairs, swept.short) == (1, [], False)
    assert audit_hidden(vm, Cells(vm)) == []
    assert contents(vm, parted, 4) == [2, 1, 1, 1]


def rests(vm):
    """Wait for the daemon as the audit of a run does."""
    return partial(come_to_rest, vm)


def test_page_outs_do_not_disturb_the_count(vm, parted):
    page_out_step(vm)

    assert Cells(vm).used == 5
    assert sweep(vm).joined == 1
    assert Cells(vm).used == 4
