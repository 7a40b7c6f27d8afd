"""The journey of a page: what was done to it on its way, told from the flight recorders alone."""

import pytest
from msgspec.structs import replace

from harness import probe
from harness.shm.facts import Details, said_by
from harness.watch.dump import build
from harness.watch.records import RunMeta, Suspicion
from harness.watch.snapshot import Reader, take
from stress.dump_sections.page_history import (
    entry_at,
    explain_loss,
    journey,
    page_steps,
    places_of,
    trace_back,
)
from stress.oracles.at_rest import wrong_data
from stress.script.scene import classify
from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import below, fork, page_at, read, space_of, swap_out, top, va, write
from vmcore import page_events
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object_pager import remove_from_pager
from vmcore.space.vmspace import vmspace_exit


@pytest.fixture
def vm(world):
    probe.record(world.arena)
    world.arena.native.sit("tester")
    return world.vm


def told(vm, space, page):
    return journey(vm, space, va(vm, page), vm.native.now())


def texts(lines):
    """Without age and thread."""
    return [line.split("tester: ", 1)[1] for line in lines if "tester: " in line]


def test_a_copy_on_write_shows_both_pages_and_not_the_neighbour(vm):
    parent = space_of(vm, 4)
    write(vm, parent, 1, 5)
    write(vm, parent, 2, 6)
    bottom = top(vm, parent, 1)
    source = page_at(vm, bottom, 1).slot
    child = fork(vm, parent)
    write(vm, child, 1, 7)
    front = top(vm, child, 1)
    copy = page_at(vm, front, 1).slot

    lines = texts(told(vm, child, 1))

    assert lines == [
        f"P{source} enters O{bottom.slot}+1",
        f"P{source} is filled with zeros",
        f"P{copy} enters O{front.slot}+1",
        f"P{copy} becomes a copy of P{source}",
    ]
    assert f"(O{front.slot}+1→O{bottom.slot}+1)" in told(vm, child, 1)[0]


def test_a_page_that_a_collapse_moved_up_is_followed_back(vm):
    parent = space_of(vm, 2)
    write(vm, parent, 0, 5)
    write(vm, parent, 1, 6)
    bottom = top(vm, parent).slot
    child = fork(vm, parent)
    write(vm, parent, 0, 8)
    moved = page_at(vm, below(vm, top(vm, parent)), 1).slot
    vmspace_exit(vm, child)
    front = top(vm, parent)
    with locked(front):
        vm_object_collapse(vm, front)
    assert page_at(vm, front, 1).slot == moved

    lines = texts(told(vm, parent, 1))

    first, last = lines.index(f"P{moved} leaves O{bottom}+1"), lines.index(f"P{moved} enters O{front.slot}+1")
    assert lines[0] == f"P{moved} enters O{bottom}+1", "the place that it came from belongs to its journey"
    assert first < last


def test_a_page_that_the_pager_was_made_to_forget_is_said_to_be(vm):
    space = space_of(vm, 2)
    write(vm, space, 1, 5)
    owner = top(vm, space)
    swap_out(vm, owner, 1)
    with locked(owner):
        assert remove_from_pager(vm, owner, vm.page_size, 2 * vm.page_size) == 1

    assert read(vm, space, 1) == 0
    lines = told(vm, space, 1)

    assert f"the pager of O{owner.slot} forgets 1 pages from +1 on" in texts(lines)
    assert f"  so tester made the pager of O{owner.slot} forget this page" in lines
    assert not any("forget" in line for line in told(vm, space, 0))


def test_a_page_that_was_dropped_after_a_failed_write_is_said_to_be():
    steps = [
        (page_events.OUT_FAILED, 3),
        (page_events.LEAVES, 3),
    ]
    made = [step(number, what, page) for number, (what, page) in enumerate(steps)]

    assert explain_loss(made) == ["  so P3 was given up by tester although its last write failed"]
    assert explain_loss([made[0], step(1, page_events.OUT_DONE, 3), made[1]._replace(number=2)]) == []


def test_what_ends_of_a_write_prove():
    twice = [
        step(0, page_events.ENTERS, 3),
        step(1, page_events.OUT, 3),
        step(2, page_events.OUT, 3),
        step(3, page_events.OUT_DONE, 3),
    ]
    early = [step(0, page_events.ENTERS, 3), step(1, page_events.OUT, 3), step(2, page_events.LEAVES, 3)]
    well = [
        step(0, page_events.ENTERS, 3),
        step(1, page_events.OUT, 3),
        step(2, page_events.OUT_DONE, 3),
        step(3, page_events.LEAVES, 3),
    ]
    clean = [step(0, page_events.ENTERS, 3), step(1, page_events.IN, 3), step(2, page_events.LEAVES, 3)]

    assert explain_loss(twice) == ["  so a second write of O7+1 began while the first was under way"]
    assert explain_loss(early) == ["  so P3 was given up by tester while it was being written"]
    assert explain_loss(well) == []
    assert explain_loss(clean) == ["  P3 was given up by tester; it was not written since it came in"]
    # A recorder that goes back less far cannot tell whether the first write had ended.
    assert explain_loss(twice, since=2) == explain_loss(early, since=2) == []


def step(number, what, page):
    from stress.dump_sections.page_history import Step

    return Step(number, 1, number, "tester", what, page_events.Place(page, 7, 1))


def test_a_dump_of_wrong_data_has_the_journey_of_the_page_whatever_is_said(vm):
    space = space_of(vm, 2)
    write(vm, space, 1, 5)
    failure = wrong_data(vm, space, va(vm, 1), "page 1 reads 9")
    found = Suspicion(verdict="wrong_data", key="x", seats=[], why="", details=said_by(failure))
    prose = replace(found, why=f"tester WrongData: {failure}", details=Details())
    reader = Reader(vm.arena)

    section = build(reader, take(reader), found, RunMeta(), with_stacks=False).sections["journey of the page"]
    other = build(reader, take(reader), prose, RunMeta(), False).sections

    page = page_at(vm, top(vm, space), 1).slot
    assert any(line.endswith(f"P{page} enters O{top(vm, space).slot}+1") for line in section)
    assert not other["journey of the page"]


def test_an_address_without_an_entry_has_no_places(vm):
    space = space_of(vm, 1)

    assert entry_at(vm, space, 1) is None
    assert places_of(vm, space, 1) == []
    assert told(vm, space, 5) == []
    assert trace_back(page_steps(vm), set()) == set()


@pytest.mark.parametrize(
    ("stored", "found", "said"), [(1, 0, "lost"), (0, 1, "that was never written"), (2, 1, "another store")]
)
def test_a_scripts_wrong_number_is_classified(stored, found, said):
    assert said in classify(stored, found)


@pytest.mark.parametrize("place", [(1, 2, 3), ((1 << 24) - 1, (1 << 20) - 1, (1 << 20) - 1)])
def test_a_packed_place_is_read_back(place):
    assert page_events.unpack(page_events.pack(*place)) == place


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (page_events.ENTERS, "P4 O3+2"),
        (page_events.COPIED, "P3 to P4"),  # frame 4 becomes a copy of frame 3
        (page_events.FORGOTTEN, "4 of O3 from +2"),
    ],
)
def test_an_argument_is_told_by_what_its_event_packs(what, told):
    assert page_events.event_text(what, page_events.pack(4, 3, 2)) == told


def test_what_happened_after_the_look_stands_behind_a_plus(vm):
    space = space_of(vm, 1)
    looked = vm.native.exact_now()
    write(vm, space, 0, 1)

    lines = journey(vm, space, va(vm, 0), looked)

    assert all(line.lstrip().startswith("+") for line in lines[1:])
    assert len(lines) > 1
