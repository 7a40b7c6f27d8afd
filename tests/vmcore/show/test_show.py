"""One line per record, chains as they are drawn, and a reader that disturbs nothing, whatever links say."""

import ctypes

import pytest

from harness.shm.arena import Arena
from harness.shm.native import Header
from harness.shm.roster import Roster
from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import (
    below,
    chain,
    empty_space,
    entry_at,
    fill,
    fork,
    page_at,
    shadow_of,
    space_of,
    swap_out,
    top,
    write,
)
from vmcore.constants import OBJ_COLLAPSING, OBJ_FADING, PG_BUSY, SPC_WRITING
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.show.inspect import inspect
from vmcore.show.show import (
    LONGEST_CHAIN,
    chain_lengths,
    longest_chain,
    longest_chains,
    show_chain,
    show_entry,
    show_map,
    show_object,
    show_page,
    show_vmspace,
    walk,
)
from vmcore.show.store import show_pager, show_pending, show_vnode
from vmcore.show.world import show_counters, show_queues, show_world
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def family(vm):
    """A parent and a child over one object of four pages, three of them in swap."""
    parent = space_of(vm, 4)
    fill(vm, parent, dict.fromkeys(range(4), 1))
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    swap_out(vm, below(vm, top(vm, child)), 1, 2, 3)
    yield parent, child
    for space in (parent, child):
        vmspace_exit(vm, space)


def test_a_chain_is_drawn_with_references_pages_and_swap(vm, family):
    front = top(vm, family[1])
    back = below(vm, front)

    assert show_chain(vm, front) == f"O{front.slot}(ref1,1p)→O{back.slot}(ref2,1p,swap4)"
    assert show_chain(vm, None) == "none"


def test_what_is_under_way_is_drawn_too(vm, family):
    front = top(vm, family[1])
    back = below(vm, front)
    with locked(front):
        vm_object_paging_begin(vm, front)
    page = page_at(vm, front, 0)
    page.flags_o |= PG_BUSY
    front.flags |= OBJ_COLLAPSING
    back.flags |= OBJ_FADING
    back.paging_offset = 2 * vm.page_size

    drawn, shown = show_chain(vm, front), show_page(vm, page)

    page.flags_o &= ~PG_BUSY
    front.flags &= ~OBJ_COLLAPSING
    back.flags &= ~OBJ_FADING
    back.paging_offset = 0
    with locked(front):
        vm_object_paging_end(vm, front)
    one = f"O{front.slot}(ref1,1p*,pip1,COLLAPSING)"
    assert drawn == f"{one}→O{back.slot}(ref2,1p,swap4@2,FADING)"
    assert shown.startswith(f"P{page.slot}* of O{front.slot}+0 BUSY|TABLED")


def test_a_chain_that_is_too_long_ends_in_dots(vm, family):
    front = top(vm, family[1])

    assert show_chain(vm, front, most=1) == f"O{front.slot}(ref1,1p)→…"


def test_a_ring_and_a_stale_link_end_the_drawing(vm, family):
    front = top(vm, family[1])
    back = below(vm, front)

    back.shadow = vm.objects.ref(front)
    ring = show_chain(vm, front)
    lengths = chain_lengths(vm)
    back.shadow = (7 << 32) | 200
    stale = show_chain(vm, front)
    back.shadow = 0

    assert ring.count("→") == LONGEST_CHAIN
    assert ring.endswith("→…")
    assert lengths[front.slot] <= 2
    assert stale == f"O{front.slot}(ref1,1p)→O{back.slot}(ref2,1p,swap4)→stale"


def test_the_longest_chains_come_first_and_begin_at_the_top(vm, family):
    parent, child = family
    grandchild = fork(vm, child)
    write(vm, grandchild, 1, 3)

    drawn = longest_chains(vm, 5)

    assert drawn[0] == show_chain(vm, top(vm, grandchild))
    assert longest_chain(vm) == len(chain(vm, grandchild)) == 3
    assert len(drawn) == 1, "the middle of a chain is no chain of its own, and one object is none"
    assert longest_chains(vm, 0) == []
    assert parent.slot
    vmspace_exit(vm, grandchild)


def test_every_kind_of_record_has_a_line(vm, family):
    parent, child = family
    front = top(vm, child)
    back = below(vm, front)
    pager = vm.pagers(back.pager)
    own = space_map(vm, child)

    assert (
        show_object(vm, front) == f"O{front.slot} ref 1 pip 0 pages 1 size 4 INTERNAL shadow O{back.slot}+0"
    )
    assert (
        show_page(vm, page_at(vm, front, 0))
        == f"P{page_at(vm, front, 0).slot} of O{front.slot}+0 TABLED ACTIVE"
    )
    assert show_pager(vm, pager) == f"G{pager.slot} swap of O{back.slot} valid 4 of 4 blocks 1"
    assert show_entry(vm, entry_at(vm, child)).endswith(f"copy_on_write {show_chain(vm, front)}+0")
    assert show_map(vm, own)[0] == f"map {own.slot}: 1 entries, 4 pages"
    said = f"V{child.slot} users 1 map {own.slot} (1 entries, 4 pages)"
    assert show_vmspace(vm, child).startswith(said)
    assert show_vmspace(vm, parent) != show_vmspace(vm, child)


def test_a_write_under_way_and_a_free_record(vm, family):
    record, page = vm.pending.views[2], page_at(vm, top(vm, family[1]), 0)
    assert show_pending(vm, record) == "W2 FREE"

    record.state, record.count, record.page, record.block, record.index = SPC_WRITING, 3, page.slot, 9, 1
    record.object = vm.objects.ref(top(vm, family[1]))
    shown = show_pending(vm, record)
    in_world = show_world(vm)
    record.state = record.count = record.page = record.block = record.index = record.object = 0

    assert shown == f"W2 WRITING 3 pages from P{page.slot} of O{top(vm, family[1]).slot} to B9+1"
    assert "writes under way (1):" in in_world
    assert f"  {shown}" in in_world


def test_a_file_and_its_pager(vm_of):
    vm = vm_of(files=(3 * 4096,))
    vnode = vm.vnodes.views[1]
    assert show_vnode(vm, vnode) == "N1 file 0 size 3 users 1 no pager"
    space = empty_space(vm)
    vm_map_file(vm, space_map(vm, space), vnode, 3 * vm.page_size, 0)
    pager = next(iter(vm.pagers.live()))

    assert show_vnode(vm, vnode).endswith(f"G{pager.slot}")
    assert show_pager(vm, pager).startswith(f"G{pager.slot} vnode 1 of O")
    assert "files in use (1):" in show_world(vm)
    vmspace_exit(vm, space)


def test_the_world_on_a_page(vm, family):
    lines = show_world(vm)

    assert lines[0] == show_queues(vm)
    assert lines[0].startswith(f"free {vm.g.v_free_count} (target {vm.g.v_free_target}) ")
    assert any("map_forks 1" in line for line in show_counters(vm))
    assert "longest chains (1):" in lines
    assert f"  {show_chain(vm, top(vm, family[1]))}" in lines
    assert "pagers (1):" in lines
    assert "spaces (2):" in lines


def test_many_of_a_kind_are_counted(vm):
    spaces = [space_of(vm, 1) for _ in range(11)]

    lines = show_world(vm)

    assert "spaces (11):" in lines
    assert "  and 3 more" in lines
    for space in spaces:
        vmspace_exit(vm, space)


def test_a_list_that_leads_nowhere_ends(vm, family):
    page = page_at(vm, top(vm, family[1]), 0)

    page.listq_next = 0xDBDBDBDB
    assert [one.slot for one in walk(vm.pages.views, page.slot, "listq_next")] == [page.slot]
    page.listq_next = page.slot
    assert len(list(walk(vm.pages.views, page.slot, "listq_next"))) == len(vm.pages.views)
    page.listq_next = 0


def test_a_freed_record_full_of_junk_is_shown_all_the_same(vm):
    parent = space_of(vm, 2)
    write(vm, parent, 0, 1)
    obj, own = top(vm, parent), space_map(vm, parent)
    entry = entry_at(vm, parent)
    front = shadow_of(vm, obj, 0, 2)
    entry.object = vm.objects.ref(front)
    vmspace_exit(vm, parent)

    assert show_object(vm, obj) == f"O{obj.slot} is free"
    assert "stale" in show_chain(vm, obj)
    assert "stale object" in show_entry(vm, entry) or "sharing map" in show_entry(vm, entry)
    assert show_map(vm, own)
    assert "its map is stale" in show_vmspace(vm, parent)


def test_a_reader_without_a_seat_or_lock_sees_the_same_tables(vm, family):
    before = bytes(Header.from_buffer(vm.arena.mapping)), len(Roster(vm.arena).rows(left=True))
    vm.arena.tables.clear()
    seat = vm.native.seat()
    steps = [bytes(ctypes.string_at(ctypes.addressof(one), 64)) for one in Roster(vm.arena).seats]

    seen = inspect(vm.arena)

    assert seen is not None
    assert show_world(seen) == show_world(vm)
    assert (bytes(Header.from_buffer(vm.arena.mapping)), len(Roster(vm.arena).rows(left=True))) == before
    assert [bytes(ctypes.string_at(ctypes.addressof(one), 64)) for one in Roster(vm.arena).seats] == steps
    assert vm.native.seat() == seat
    assert not hasattr(seen, "me"), "without a seat there is no state of a thread"


def test_a_reader_works_while_every_lock_is_held(vm, family):
    with locked(vm.cache_lock, vm.objects.views[1], vm.page_queue_lock, vm.free_lock):
        seen = inspect(vm.arena)
        assert seen is not None
        assert show_world(seen)[0] == show_queues(vm)


def test_an_arena_without_a_vm_has_nothing_to_inspect():
    with Arena.create("nothing") as arena:
        assert inspect(arena) is None
        assert list(arena.tables) == []
