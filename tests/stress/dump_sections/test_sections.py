"""What a dump says of the VM: made by a process that only looks, on a system that others are using."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness._native import CONSTANTS
from harness.errors import Panic
from harness.locks.reports import reports as arena_reports
from harness.probe.events import record
from harness.shm.facts import details_of, said_by
from harness.watch.dump import build
from harness.watch.records import RunMeta, Suspicion
from harness.watch.snapshot import Reader, take
from stress.dump_sections.sections import RULES, SECTION, register, unregister
from stress.run.world import Setting, World
from tests.stress.conftest import SIZES
from tests.vmcore.builders import locked, reports
from tests.vmcore.builders_objects import page_at, space_of, top, write
from tests.waiting import LIMIT_S
from vmcore import page_events
from vmcore.config import Config
from vmcore.page.page import vm_page_alloc
from vmcore.page.page_queues import vm_page_activate
from vmcore.show.show import show_page
from vmcore.vm_error import a_page, an_object, broken, panic


@pytest.fixture
def vm():
    made = World.boot(Setting(name=f"test-{os.getpid()}", config=Config(**SIZES, checked=True), workers=2))
    made.arena.native.sit("looker")
    yield made.vm
    made.arena.native.leave()
    made.close()


def a_busy_page(vm, object):
    """Its slot; we own it from now on."""
    vm.native.sit("owner")
    object.lock.acquire()
    page = vm_page_alloc(vm, object, 4096)
    object.lock.release()
    assert page is not None  # of 256 frames two are taken
    return page.slot


def test_another_threads_own_page_may_be_read_in_a_checked_run(vm):
    space = space_of(vm, 2)
    write(vm, space, 0, 1)
    bottom = top(vm, space)

    with ThreadPoolExecutor(1) as owner:
        slot = owner.submit(a_busy_page, vm, bottom).result(LIMIT_S)
        reader = Reader(vm.arena)
        found = Suspicion(verdict="panic", key="x", seats=[], why="")
        lines = build(reader, take(reader), found, RunMeta(), with_stacks=False).sections[SECTION]

    assert "named above:" in lines
    assert show_page(vm, vm.pages.views[slot]) in lines
    assert reports(vm) == []


def test_the_objects_that_the_facts_name_are_shown_and_no_later_ones(vm):
    spaces = [space_of(vm, 2) for _ in range(3)]
    for space in spaces:
        write(vm, space, 0, 1)
    one, two, since = (top(vm, space) for space in spaces)
    record(vm.arena)
    with since.lock:
        pass
    reader = Reader(vm.arena)
    told = details_of([broken("Q9", f"they could be joined, unlike object {since.slot}", one, two)])
    found = Suspicion(verdict="leak", key="x", seats=[vm.native.seat()], why="", details=told)

    lines = build(reader, take(reader), found, RunMeta(), with_stacks=False).sections[SECTION]

    after = lines[lines.index("named above:") :]
    assert [line.split()[0] for line in after if line.startswith("O")] == [f"O{one.slot}", f"O{two.slot}"]


def test_the_page_that_a_broken_rule_names_is_shown_with_its_object(vm):
    space = space_of(vm, 2)
    write(vm, space, 0, 1)
    one = top(vm, space)
    slot = page_at(vm, one, 0).slot
    reader = Reader(vm.arena)
    told = details_of([broken("Q4", "it is on 0 queues", a_page(slot), a_page(99999))])
    found = Suspicion(verdict="invariant_violation", key="x", seats=[], why="", details=told)

    lines = build(reader, take(reader), found, RunMeta(), with_stacks=False).sections[SECTION]

    after = lines[lines.index("named above:") :]
    assert show_page(vm, vm.pages.views[slot]) in after
    assert any(line.startswith(f"O{one.slot} ") for line in after)


def test_an_object_that_was_freed_and_is_still_used_is_told_with_the_rule(vm):
    space = space_of(vm, 2)
    write(vm, space, 0, 1)
    alive, freed = top(vm, space).slot, len(vm.objects.views) - 1
    reader = Reader(vm.arena)
    locks = [vm.objects.views[slot].lock.offset for slot in (freed, alive)]
    vm.arena.native.report(CONSTANTS["REPORT_ORDER"], "holds one and takes another", *locks)
    [report] = arena_reports(vm.arena)
    found = Suspicion(verdict="order_violation", key="x", seats=[], why="", report=report)
    register(vm)
    try:
        lines = build(reader, take(reader), found, RunMeta(), with_stacks=False).sections[RULES]
    finally:
        unregister()

    assert lines[0] == f"O{freed} was freed, and is still used by its old name"
    assert lines[1].startswith("A16: ")
    assert not any(f"O{alive} " in line for line in lines)


def test_an_argument_of_a_point_is_told_as_the_page_that_it_names(vm):
    record(vm.arena)
    space = space_of(vm, 2)
    write(vm, space, 1, 1)
    one = top(vm, space)
    page = page_at(vm, one, 1)
    with locked(one):
        page_events.passes(vm, page_events.ZEROED, page)
    reader = Reader(vm.arena)
    found = Suspicion(verdict="panic", key="x", seats=[vm.native.seat()], why="")

    register(vm)
    try:
        [looker] = build(reader, take(reader), found, RunMeta(), with_stacks=False).threads
    finally:
        unregister()
    [bare] = build(reader, take(reader), found, RunMeta(), with_stacks=False).threads

    assert f"page is zeroed P{page.slot} O{one.slot}+1" in [event.what for event in looker.events]
    assert all("P" not in event.what for event in bare.events)
    assert len(bare.events) == len(looker.events)


def test_a_panic_knows_the_page_and_the_object_that_it_is_about(vm):
    space = space_of(vm, 2)
    write(vm, space, 0, 1)
    one = top(vm, space)
    page = page_at(vm, one, 0)

    with pytest.raises(Panic) as caught, locked(one), vm.page_queue_lock:
        vm_page_activate(vm, page)

    assert said_by(caught.value).about == (a_page(page.slot),)
    assert said_by(panic("so it is", one, page)).about == (an_object(one.slot), a_page(page.slot))
