"""The event loop by itself, with real pipes and processes: nothing of a run is needed for it."""

import os
import signal
from functools import partial

import multiprocess
import pytest

from harness.clock import Clock, ManualClock
from harness.run import process_control
from harness.run.event_loop import EventLoop, Timer
from harness.run.messages import Wire
from tests.waiting import LIMIT_S

FORK = multiprocess.get_context("fork")


@pytest.fixture
def pipe():
    """Makes pipes as (read end, write end); closes what is still open of them."""
    made: list[int] = []

    def make() -> tuple[int, int]:
        ends = os.pipe()
        made.extend(ends)
        return ends

    yield make
    for fd in set(made):
        os.close(fd)


@pytest.fixture
def child():
    """Starts a process with the other end of a wire; ends it, whatever became of it."""
    started: list[tuple[multiprocess.Process, Wire, int]] = []

    def start(body):
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=body, args=(theirs, ours))
        process.start()
        theirs.close()
        started.append((process, Wire(ours), process_control.death_fd(process)))
        return started[-1]

    yield start
    for process, wire, death in started:
        process.kill()
        process.join(LIMIT_S)
        assert process.exitcode is not None, "a killed child did not end"
        wire.close()
        os.close(death)


def read_all_and_say_how_much(connection, parents_end):
    parents_end.close()
    wire = Wire(connection)
    word, data = wire.wait(LIMIT_S)
    wire.send((word, len(data)))


def say_one_word_and_wait(connection, parents_end):
    parents_end.close()
    wire = Wire(connection)
    wire.send(("here",))
    wire.wait(LIMIT_S)


# --- descriptors


def test_a_reader_is_called_when_its_pipe_has_something_and_only_then(pipe):
    loop, called = EventLoop(), []
    (first, into_first), (second, _) = pipe(), pipe()
    loop.add_reader(first, lambda: called.append(os.read(first, 10)))
    loop.add_reader(second, lambda: called.append(os.read(second, 10)))
    loop.turn(0.0)
    assert called == []

    os.write(into_first, b"x")
    loop.turn(LIMIT_S)

    assert called == [b"x"]


def test_a_turn_ends_after_its_time_with_nothing_called(pipe):
    loop, called = EventLoop(), []
    loop.add_reader(pipe()[0], lambda: called.append("reader"))

    loop.turn(0.001)

    assert called == []


def test_a_reader_that_was_removed_in_this_turn_is_not_called(pipe):
    loop, called = EventLoop(), []
    ends = [pipe(), pipe()]

    def only_me(mine: int, other: int) -> None:
        called.append(mine)
        loop.remove_reader(other)

    (first, into_first), (second, into_second) = ends
    loop.add_reader(first, partial(only_me, first, second))
    loop.add_reader(second, partial(only_me, second, first))
    for into in (into_first, into_second):
        os.write(into, b"x")

    loop.turn(LIMIT_S)

    assert len(called) == 1


def test_a_new_reader_of_a_number_is_not_called_for_the_old_ones_data(pipe):
    loop, called = EventLoop(), []
    (first, into_first), (second, into_second), (empty, _) = pipe(), pipe(), pipe()

    def replace(other: int) -> None:
        called.append("replaced")
        loop.remove_reader(other)
        os.dup2(empty, other)  # closes it: another pipe has its number now, and nothing in it
        loop.add_reader(other, lambda: called.append("of the new one"))

    loop.add_reader(first, partial(replace, second))
    loop.add_reader(second, partial(replace, first))
    for into in (into_first, into_second):
        os.write(into, b"x")

    loop.turn(LIMIT_S)

    assert called == ["replaced"]


def test_two_readers_of_one_descriptor_are_refused(pipe):
    loop, (end, _) = EventLoop(), pipe()
    loop.add_reader(end, lambda: None)

    with pytest.raises(ValueError, match=f"descriptor {end} has a reader"):
        loop.add_reader(end, lambda: None)

    loop.remove_reader(end)
    loop.add_reader(end, lambda: None)


def test_an_exception_of_a_callback_leaves_the_turn_and_the_loop_goes_on(pipe):
    loop, called = EventLoop(ManualClock()), []
    end, into = pipe()

    def fail() -> None:
        called.append(os.read(end, 1).decode())
        raise ZeroDivisionError

    loop.add_reader(end, fail)
    loop.call_at(0.0, lambda: called.append("timer"))
    os.write(into, b"x")

    with pytest.raises(ZeroDivisionError):
        loop.turn(LIMIT_S)
    loop.turn(0.0)

    assert called == ["x", "timer"]


# --- processes


def test_what_did_not_fit_into_a_pipe_is_sent_on_as_its_peer_reads(child):
    loop, got = EventLoop(), []
    _, wire, _ = child(read_all_and_say_how_much)
    loop.add_wire(wire, lambda: got.extend(wire.receive()))

    wire.post(("size", b"x" * 2_000_000))
    assert wire.pending

    assert loop.wait_until(lambda: got, LIMIT_S, every_s=LIMIT_S), (
        "the child did not say how much it had read"
    )
    assert got == [("size", 2_000_000)]


def test_a_killed_process_is_seen_by_its_death_and_by_the_end_of_its_pipe(child):
    loop, seen = EventLoop(), []
    process, wire, death = child(say_one_word_and_wait)

    def receive() -> None:
        seen.extend(wire.receive())
        if wire.ended:
            seen.append("end")
            loop.remove_reader(wire.fd)

    def died() -> None:
        loop.remove_reader(death)
        process.join(LIMIT_S)
        seen.append(process.exitcode)

    loop.add_wire(wire, receive)
    loop.add_reader(death, died)
    assert loop.wait_until(lambda: seen, LIMIT_S), "the child said nothing"
    assert seen == [("here",)]

    process.kill()

    assert loop.wait_until(lambda: len(seen) == 3, LIMIT_S), f"only {seen} was seen of the kill"
    assert set(seen[1:]) == {"end", -signal.SIGKILL}


# --- times


def test_timers_are_called_once_each_in_the_order_of_their_moments():
    clock = ManualClock(10.0)
    called: list[tuple[float, int]] = []
    loop = EventLoop(clock)
    for moment in (12.0, 11.0, 11.0, 13.0):
        loop.call_at(moment, partial(called.append, (moment, len(called))))
    loop.turn(0.0)
    assert called == []

    for moment in (11.5, 12.0):
        clock.advance(moment - clock.now())
        loop.turn(0.0)
        loop.turn(0.0)

    assert [moment for moment, _ in called] == [11.0, 11.0, 12.0]


def test_a_timer_ends_the_wait_of_a_turn(pipe):
    clock, called = Clock(), []
    loop = EventLoop(clock)
    loop.add_reader(pipe()[0], lambda: None)
    begun = clock.now()
    loop.call_at(begun + 0.001, lambda: called.append(clock.now()))

    while not called:
        loop.turn(LIMIT_S)

    assert begun + 0.001 <= called[0] < begun + LIMIT_S


def test_a_cancelled_timer_is_not_called_nor_waited_for():
    clock, called = ManualClock(), []
    loop = EventLoop(clock)
    later: list[Timer] = []

    def cancel_them() -> None:
        for timer in later:
            timer.cancel()

    first = loop.call_at(1.0, cancel_them)
    later.append(loop.call_at(1.0, lambda: called.append("cancelled in this turn")))
    loop.call_at(0.5, lambda: called.append("cancelled before")).cancel()
    clock.advance(1.0)

    loop.turn(LIMIT_S)
    first.cancel()  # it was called already

    assert called == []


def test_a_timer_that_asks_for_the_same_moment_does_not_hold_the_turn():
    called = []
    loop = EventLoop(ManualClock())

    def again() -> None:
        called.append(1)
        loop.call_at(0.0, again)

    again()
    loop.turn(0.0)
    loop.turn(0.0)

    assert len(called) == 3


def test_a_turn_reads_then_calls_timers_then_what_comes_after_every_turn(pipe):
    called = []
    loop = EventLoop(ManualClock(), lambda: called.append("after"))
    end, into = pipe()
    loop.call_at(0.0, lambda: called.append("timer"))
    loop.add_reader(end, lambda: called.append(os.read(end, 1).decode()))
    os.write(into, b"x")

    loop.turn(0.0)
    loop.turn(0.0)

    assert called == ["x", "timer", "after", "after"]


def test_waiting_ends_with_what_is_waited_for_or_with_its_limit():
    clock = ManualClock()
    loop = EventLoop(clock, lambda: clock.advance(0.5))

    assert loop.wait_until(lambda: clock.now() == 2.0, 3.0, every_s=0.0)
    assert not loop.wait_until(lambda: False, 3.0, every_s=0.0)

    assert clock.now() == 5.0
