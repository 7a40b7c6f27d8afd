"""Contracts checked around calls."""

from types import FunctionType

import pytest

from harness.errors import ContractViolation
from harness.locks import contract
from tests.harness.locks import reported


def violation(arena):
    (report,) = reported.reports(arena)
    assert report.kind == "contract"
    return report.text


# --- checking


def test_without_contracts_the_raw_function_itself_is_called(program):
    raw = program.step

    contract.bind(False)

    assert program.step is raw
    assert isinstance(program.step, FunctionType)


def test_a_call_that_keeps_its_contract_goes_through(checked, world):
    with world.thing.lock:
        assert checked.step(world, world.thing) == "done"
        assert checked.step(world, thing=world.thing) == "done"
        assert checked.step(world, None) == "done"
    assert checked.step.__name__ == "step"
    assert "One step." in checked.step.__doc__
    assert reported.reports(world.arena) == []


@pytest.mark.parametrize("by_name", [False, True])
def test_a_lock_missing_at_entry_stops_the_call(checked, world, by_name):
    world.act = pytest.fail

    with pytest.raises(ContractViolation, match=r"step: at entry it needs thing\[0\]"):
        checked.step(world, thing=world.thing) if by_name else checked.step(world, world.thing)

    assert violation(world.arena) == "step: at entry it needs thing[0]"


def test_a_lock_lost_on_the_way_is_found_at_exit(checked, world):
    world.act = lambda thing: thing.lock.release()
    world.thing.lock.acquire()

    with pytest.raises(ContractViolation, match=r"step: at exit it must hold thing\[0\]"):
        checked.step(world, world.thing)


def test_a_lock_of_enter_that_exit_does_not_name_must_be_gone(checked, world):
    world.act = lambda thing: thing.lock.acquire()
    world.big.acquire()

    with pytest.raises(ContractViolation, match=r"take: at exit it must no longer hold big\[0\]"):
        checked.take(world, world.thing)


def test_a_lock_that_must_not_be_held_at_entry(checked, world):
    with (
        world.big,
        world.thing.lock,
        pytest.raises(ContractViolation, match=r"take: at entry it must not hold thing\[0\]"),
    ):
        checked.take(world, world.thing)


def test_nothing_locked_means_no_mutex_at_all(checked, world):
    world.act = lambda _: None
    with world.map.lock.reading():
        checked.find(world)
    with world.other, pytest.raises(ContractViolation, match="find: at entry no mutex may be held"):
        checked.find(world)


def test_the_result_must_be_locked_unless_it_is_none(checked, world):
    world.act = lambda _: world.thing
    with pytest.raises(ContractViolation, match=r"find: at exit it must hold thing\[0\]"):
        checked.find(world)
    world.act = lambda _: world.thing.lock.acquire() and world.thing
    assert checked.find(world) is world.thing
    world.thing.lock.release()
    world.act = lambda _: None
    assert checked.find(world) is None


def test_a_map_is_checked_for_reading_and_writing(checked, world):
    world.act = lambda it: it.lock.upgrade()
    with world.map.lock, pytest.raises(ContractViolation, match=r"needs \(read\) map\[0\]"):
        checked.look(world, world.map)
    world.map.lock.read()
    assert checked.look(world, world.map) is True
    world.map.lock.downgrade()
    world.act = lambda _: None
    with pytest.raises(ContractViolation, match=r"at exit it must hold \(write\) map\[0\]"):
        checked.look(world, world.map)


def test_a_lock_that_takes_does_not_name_is_found_at_exit(checked, world):
    def act(_thing):
        with world.other:
            pass

    world.act = act

    with world.thing.lock, pytest.raises(ContractViolation, match="does not name: other"):
        checked.step(world, world.thing)


def test_what_was_taken_before_the_call_does_not_count(checked, world):
    with world.other, world.thing.lock:
        checked.step(world, world.thing)


def test_what_an_inner_call_took_counts_for_the_outer_one_too(checked, world):
    checked.noisy(world)
    world.act = lambda _: checked.noisy(world)

    with pytest.raises(ContractViolation, match=r"quiet: it took .* does not name: other"):
        checked.quiet(world)


def test_sleeping_where_it_says_never_is_found(checked, world):
    chan = world.arena.channel("bell")
    world.act = lambda _: chan.block(chan.intend(), "nap", timeout=0)

    with world.thing.lock, pytest.raises(ContractViolation, match="step: it slept"):
        checked.step(world, world.thing)
    world.thing.lock.acquire()
    world.act = lambda thing: (
        chan.block(chan.intend(), "nap", timeout=0),
        thing.lock.acquire(),
        world.big.release(),
    )
    world.thing.lock.release()
    world.big.acquire()
    checked.take(world, world.thing)


def test_an_exception_comes_out_unchanged_and_unchecked(checked, world):
    def act(thing):
        thing.lock.release()
        raise KeyError("mine")

    world.act = act
    world.thing.lock.acquire()

    with pytest.raises(KeyError, match="mine"):
        checked.step(world, world.thing)

    assert reported.reports(world.arena) == []
