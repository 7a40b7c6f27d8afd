"""Quiescent invariants of pages, sleepers and page-outs: each is broken once, and the audit names it."""

import pytest

from harness.shm.native import Channel, Seat
from tests.harness.actors import wait_until
from tests.vmcore.builders import Team, frame, locked
from tests.vmcore.builders_objects import entry_at, fill, fork, page_out_step, space_of, top, write
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    OBJ_COLLAPSING,
    OBJ_DYING,
    OBJ_FADING,
    OBJ_PAGERALLOC,
    OBJ_WAITING,
    PG_ACTIVE,
    PG_BUSY,
    PG_FAKE,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_WANTED,
    SPC_DONE,
)
from vmcore.page.page import frame_free, object_pages
from vmcore.page.page_queues import page_dequeue, vm_page_activate, vm_page_deactivate
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def world(vm):
    """A parent and a child; the child's own page is on the active queue."""
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 5})
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    assert audit(vm) == []
    yield parent, child
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


@pytest.fixture
def page(vm, world):
    return object_pages(vm, top(vm, world[1]))[0]


def broken(vm, record, field, value):
    """The audit's words while one field holds a wrong value."""
    right = getattr(record, field)
    setattr(record, field, value)
    found = audit(vm)
    setattr(record, field, right)
    assert audit(vm) == []
    return found


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (OBJ_WAITING, "WAITING"),
        (OBJ_FADING, "FADING"),
        (OBJ_COLLAPSING, "COLLAPSING"),
        (OBJ_PAGERALLOC, "PAGERALLOC"),
        (OBJ_DYING, "DYING"),
    ],
)
def test_q3_an_object_in_the_middle_of_something(vm, world, flag, name):
    obj = top(vm, world[1])

    assert broken(vm, obj, "flags", obj.flags | flag) == [f"Q3: object {obj.slot} is {name}"]


def test_q3_a_paging_count_that_was_not_ended(vm, world):
    obj = top(vm, world[1])

    said = broken(vm, obj, "paging_in_progress", 1)

    assert said == [f"Q3: object {obj.slot} has paging_in_progress 1"]


@pytest.mark.parametrize(("flag", "name"), [(PG_BUSY, "BUSY"), (PG_FAKE, "FAKE"), (PG_WANTED, "WANTED")])
def test_q3_a_page_that_still_has_an_owner(vm, page, flag, name):
    said = broken(vm, page, "flags_o", page.flags_o | flag)

    assert f"Q3: page {page.slot} is {name}" in said


def test_q4_a_page_on_no_queue_is_one_frame_too_few(vm, page):
    g, flags = vm.g, page.flags_p
    counts = g.v_free_count, g.v_active_count, g.v_inactive_count
    assert flags & PG_ACTIVE
    assert sum(counts) == vm.config.pages
    with locked(vm.page_queue_lock):
        page_dequeue(vm, page)

    said = audit(vm)

    with locked(vm.page_queue_lock):
        vm_page_activate(vm, page)
    assert f"Q4: page {page.slot} is on 0 queues" in said
    free, active, inactive = counts
    assert f"Q4: {free} free + {active - 1} active + {inactive} inactive + 0 wired frames are not 128" in said
    assert audit(vm) == []


def test_q4_a_buffer_frame_that_is_out(vm, world):
    out = frame(vm)

    assert f"Q4: page {out.slot} is neither free nor in an object" in audit(vm)
    frame_free(vm, out)
    assert audit(vm) == []


@pytest.mark.parametrize("kind", ["objects", "pagers", "maps", "sharing_maps", "vnodes"])
def test_q12_a_thread_asleep_on_a_channel(vm_of, kind):
    vm = vm_of(files=(4096,))
    pool = getattr(vm, kind)
    record = next(iter(pool.live()), None) or pool.allocate()
    row = Channel.from_buffer(vm.arena.mapping, record.chan.offset)

    row.asleep[3] = 1 << 5
    said = audit(vm)
    row.asleep[3] = 0

    name = kind[:-1].replace("_", " ")
    assert f"Q12: 1 asleep on {name} {record.slot}" in said


def test_q12_a_thread_asleep_on_a_page_or_for_memory(vm, page):
    row = Channel.from_buffer(vm.arena.mapping, page.chan.offset)
    row.asleep[0], row.asleep[1] = 1 << 63, 1
    said = audit(vm)
    row.asleep[0] = row.asleep[1] = 0

    assert said == [f"Q12: 2 asleep on page {page.slot}"]
    assert broken(vm, vm.g, "memory_waiters", 1) == ["Q12: 1 wait for memory"]


def test_q12_a_process_that_waits_for_a_map_lock_is_named(vm, world):
    own = space_map(vm, world[0])
    team = Team(vm)
    own.lock.write()

    def wait(vm):
        own.lock.read()
        own.lock.release()

    team.start("reader", wait)
    wait_until(lambda: any(line.startswith("Q12: reader") for line in audit(vm)), "the reader")
    said = audit(vm)
    own.lock.release()

    assert team.wait() == {"reader": "fine"}
    assert len(said) == 1
    assert "is in wait read, in no operation" in said[0]
    assert audit(vm) == []


def test_q13_a_write_that_was_not_reaped(vm, world):
    record = vm.pending.views[3]

    assert broken(vm, record, "state", SPC_DONE) == [f"Q13: page-out record 3 is in state {SPC_DONE}"]
    assert f"Q13: page-out page 2 is in state {SPC_DONE}" in broken(
        vm, vm.pending_pages[2], "state", SPC_DONE
    )
    assert broken(vm, vm.g, "writes_in_flight", 1) == ["Q13: writes_in_flight is 1"]


def test_q13_a_record_that_is_on_no_list(vm, world):
    lost = vm.g.spc_free_first

    said = broken(vm, vm.g, "spc_free_first", vm.pending.views[lost].next)

    assert said == ["Q13: 63 of 64 page-out records are free"]


def test_q13_a_pager_with_a_write_in_flight(vm, world):
    page_out_step(vm)
    pager = next(iter(vm.pagers.live()))

    said = broken(vm, pager, "sw_poip", 2)

    assert said == [f"Q13: pager {pager.slot} has 2 writes in flight"]


def test_q13_a_release_that_this_thread_owes(vm, world):
    obj = top(vm, world[1])
    vm.me.release_list.append((obj, False))
    said = audit(vm)
    vm.me.release_list.clear()

    assert said == ["Q13: 1 references left on this thread's release list"]


def test_q13_a_dirty_inactive_page_without_laundry(vm, page):
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY

    said = broken(vm, page, "flags_p", PG_INACTIVE)

    assert said == [f"Q13: page {page.slot} is inactive and dirty without LAUNDRY"]


def test_nothing_of_all_this_is_said_of_a_world_in_order(vm, world):
    page_out_step(vm)
    assert entry_at(vm, world[0]).object
    seat = Seat.from_buffer(vm.arena.mapping, vm.native.offset_of_seat(vm.native.seat()))

    assert audit(vm) == []
    assert not seat.depth
