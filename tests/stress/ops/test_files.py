"""Files that are cut while they are in use: what the content oracle accepts then, and what it does not."""

import os
import random

import pytest

from stress.ops import core, files
from stress.ops.address_map import Range
from stress.oracles.at_rest import InvariantViolated, WrongData, audit_the_end
from stress.oracles.contents import make_stamp
from tests.vmcore.builders import services
from tests.vmcore.builders_files import Gate, thread
from vmcore.object.vnode_size import vnode_pager_setsize
from vmcore.space.access import vm_read, vm_write

PAGE, PAGES, BASE = 4096, 4, 0x10000
LIMIT_S = 60.0


@pytest.fixture
def process(world, actor):
    """A process that shows file 0, shared."""
    files.lay_down_cuts(world.arena, (PAGES, PAGES))
    return user_of(actor, True)


def user_of(actor, shared, file=0):
    made = core.create_process(actor)
    core.map_file(actor, made, Range(BASE, BASE + PAGES * PAGE, 3, shared, file))
    return made


def at(page):
    return BASE + page * PAGE


def test_after_a_cut_pages_behind_it_are_zeros_and_the_others_are_not(actor, process):
    for page in range(PAGES):
        assert files.write(actor, process, at(page))

    files.truncate(actor, 0, 2)

    assert all(files.read(actor, process, at(page)) for page in range(PAGES))
    assert [set(actor.witness.last[key]) == {0} for key in sorted(actor.witness.last)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_store_after_a_cut_is_expected_again(actor, process):
    files.truncate(actor, 0, 0)
    assert files.read(actor, process, at(1))
    assert files.write(actor, process, at(1))

    assert files.read(actor, process, at(1))
    files.truncate(actor, 0, 0)
    assert files.read(actor, process, at(1))


def test_zeros_without_a_cut_are_wrong(actor, process):
    assert files.read(actor, process, at(1))
    vm_write(actor.vm, process.space, at(1), bytes(PAGE))

    with pytest.raises(WrongData, match="no cut explains"):
        files.read(actor, process, at(1))


def test_zeros_after_a_stamp_need_another_cut(actor, process):
    files.truncate(actor, 0, 0)
    files.write(actor, process, at(1))
    vm_write(actor.vm, process.space, at(1), bytes(PAGE))  # the cut is over: it cannot explain them

    with pytest.raises(WrongData, match="no cut explains"):
        files.read(actor, process, at(1))


@pytest.mark.parametrize("seen", ["a store", "the first contents"])
def test_what_was_there_before_a_cut_may_not_come_back(actor, process, seen):
    if seen == "a store":
        files.write(actor, process, at(3))
    before = vm_read(actor.vm, process.space, at(3))

    files.truncate(actor, 0, 3)
    vm_write(actor.vm, process.space, at(3), before)

    with pytest.raises(WrongData, match="replaced before"):
        files.read(actor, process, at(3))


def test_a_stamp_that_was_never_issued_is_wrong_after_a_cut_too(actor, process):
    files.truncate(actor, 0, 0)
    vm_write(actor.vm, process.space, at(0), make_stamp(1, 0x8000_0000, 0, 99) * (PAGE // 32))

    with pytest.raises(WrongData, match="never written"):
        files.read(actor, process, at(0))


def test_a_refusal_is_legal_while_a_cut_lasts_and_at_no_other_time(world, actor, process):
    private = user_of(actor, False)
    gate = Gate(world.vm, "file_truncate")
    cutter = world.actor(2)
    seen = []

    with thread(files.truncate, cutter, 0, 1):
        assert gate.reached.wait(LIMIT_S)
        with (
            thread(lambda: seen.append(files.read(actor, process, at(3)))),
            thread(lambda: seen.append(files.write(world.actor(1), private, at(2)))),
        ):
            gate.go.set()  # the accesses meet the short file, or come before or after

    assert len(seen) == 2
    vnode_pager_setsize(world.vm, world.vm.vnodes.views[1], PAGE)  # this cut was not announced
    for step in (files.read, files.write):
        for one in (process, private):
            with pytest.raises(InvariantViolated, match="no cut overlapped"):
                step(actor, one, at(1))


def test_a_private_page_keeps_its_store_whatever_is_cut(actor, process):
    private = user_of(actor, False)
    assert files.write(actor, private, at(3))

    files.truncate(actor, 0, 0)

    assert files.read(actor, private, at(3))
    assert files.read(actor, private, at(2))


def test_msync_brings_stores_to_the_file_and_failures_are_failures(world, actor, process):
    files.write(actor, process, at(1))

    assert files.sync(actor, process, at(0), at(PAGES), True, True) == 0

    assert os.pread(world.vm.files[0], 32, PAGE) == actor.witness.last[0x8000_0000, 1]
    files.write(actor, process, at(1))
    world.vm.io.hook = lambda kind, _what, _length: kind != "file_write"
    with pytest.raises(InvariantViolated, match="sync"):
        files.sync(actor, process, at(0), at(PAGES), True, False)


def player(_vm, world, number, rounds):
    """Map, store, load, clean, cut, leave: everything that this file has, at random."""
    rng = random.Random(number)
    actor = world.actor(number, rng)
    for _ in range(rounds):
        file = rng.randrange(2)
        process = user_of(actor, rng.random() < 0.7, file)
        for _ in range(6):
            va = at(rng.randrange(PAGES))
            rng.choice((files.read, files.write))(actor, process, va)
        if rng.random() < 0.4:
            files.truncate(actor, file, rng.randrange(PAGES))
        if rng.random() < 0.4:
            files.sync(actor, process, BASE, at(PAGES), rng.random() < 0.5, rng.random() < 0.5)
        child = core.fork(actor, process)
        for one in rng.sample((process, child), 2):
            files.read(actor, one, at(rng.randrange(PAGES)))
            core.leave(actor, one)


def test_workers_that_cut_clean_and_store_find_nothing_wrong(world):
    files.lay_down_cuts(world.arena, (PAGES, PAGES))
    with services(world.vm) as team:
        for number in (1, 2):
            team.start(f"player {number}", player, world, number, 120)

        said = team.wait("player 1", "player 2")

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert world.reads() > 200
    audit_the_end(world.vm)
