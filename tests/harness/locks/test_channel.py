"""Sleep and wakeup on a channel, between threads and between processes."""

import os
import pickle
import signal
import time
from ctypes import Structure, c_uint8, c_uint32, c_uint64

import pytest

from harness import _native
from harness.errors import BadInput
from harness.handles.channel import OPERATORS, holds, predicate
from harness.shm import native
from harness.shm.layout import guarded
from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks import reported

C = _native.CONSTANTS
HANDOFFS = 1000


class Cell(Structure):
    _fields_, GUARDS, NOTES = guarded(
        ("O", "pad", c_uint32, ""),
        ("O", "turn", c_uint32, ""),
        ("O", "count", c_uint64, ""),
        ("O", "small", c_uint8, ""),
        ("O", "array", c_uint32 * 4, ""),
    )


@pytest.fixture
def cell(arena):
    arena.native.sit("test")
    return arena.table("cell", Cell, 1)[1]


@pytest.fixture
def lock(arena):
    return arena.mutex("guard")


@pytest.fixture
def chan(arena):
    return arena.channel("bell")


@pytest.fixture(params=["thread", "process"])
def mode(request):
    return request.param


def seats(arena, role="sleeper"):
    return [seat for seat in Roster(arena).seats if seat.role == role.encode() and seat.live == 2]


def asleep(arena, count=1):
    return lambda: sum(seat.activity == C["SLEEPING"] for seat in seats(arena)) == count


def sleeper(chan, lock, cell):
    def body(me):
        chan.home.native.sit("sleeper")
        lock.acquire()
        me.say(f"woken {chan.sleep(lock, 'nap', (cell, 'turn', 1), LIMIT_S)}")
        assert not lock.held()

    return body


def test_two_processes_hand_over_two_thousand_times_and_lose_no_wakeup(cell, lock, chan, mode, actors):
    def player(mine):
        def body(me):
            for _ in range(HANDOFFS // 2):
                with lock:
                    assert chan.wait(lock, "turn", (cell, "turn", mine), LIMIT_S)
                    cell.count += 1
                    cell.turn = 1 - mine
                    chan.wakeup()

        return body

    players = [actors.actor(player(mine), mode) for mine in (0, 1)]
    for actor in players:
        actor.end()

    assert cell.count == HANDOFFS


def test_the_same_with_single_wakeups(cell, lock, chan, actors):
    def player(mine):
        def body(me):
            for _ in range(HANDOFFS // 2):
                with lock:
                    assert chan.wait(lock, "turn", (cell, "turn", mine), LIMIT_S)
                    cell.count += 1
                    cell.turn = 1 - mine
                    chan.wakeup_one()

        return body

    players = [actors.actor(player(mine)) for mine in (0, 1)]
    for actor in players:
        actor.end()

    assert cell.count == HANDOFFS


def test_a_single_wakeup_belongs_to_a_thread_that_slept_when_it_came(cell, lock, chan, arena, actors):
    early = actors.actor(sleeper(chan, lock, cell))
    wait_until(asleep(arena, 1), "the early sleeper")
    os.kill(early.pid, signal.SIGSTOP)
    try:
        chan.wakeup_one()
        lock.acquire()
        assert chan.sleep(lock, "nap", timeout=0.15) is False, "took the wakeup of an earlier sleeper"
    finally:
        os.kill(early.pid, signal.SIGCONT)

    early.expect("woken True")
    early.end()


def test_sleep_returns_without_the_lock_and_wakeup_wakes_all(cell, lock, chan, mode, arena, actors):
    sleepers = [actors.actor(sleeper(chan, lock, cell), mode) for _ in range(3)]
    wait_until(asleep(arena, 3), "three sleepers")

    with lock:
        chan.wakeup()
    for actor in sleepers:
        actor.expect("woken True")
        actor.end()

    assert not any(native.Channel.from_buffer(arena.mapping, chan.offset).asleep)


def test_wakeup_one_wakes_exactly_one(cell, lock, chan, mode, arena, actors):
    sleepers = [actors.actor(sleeper(chan, lock, cell), mode) for _ in range(3)]
    wait_until(asleep(arena, 3), "three sleepers")

    for left in (2, 1, 0):
        chan.wakeup_one()
        wait_until(asleep(arena, left), f"{left} sleepers left")
        before = [seat.wait_seq for seat in seats(arena) if seat.activity == C["SLEEPING"]]
        time.sleep(3 * 0.1)  # three slices: a sleeper that was woken by mistake would have gone by now
        assert [seat.wait_seq for seat in seats(arena) if seat.activity == C["SLEEPING"]] == before
        assert len(before) == left

    for actor in sleepers:
        actor.expect("woken True")
        actor.end()


def test_a_wakeup_without_a_sleeper_is_not_remembered(cell, lock, chan):
    chan.wakeup()
    chan.wakeup_one()

    lock.acquire()
    assert chan.sleep(lock, "nap", timeout=0.15) is False
    assert not lock.held()


def test_a_wakeup_between_intention_and_sleep_is_not_lost(chan):
    intent = chan.intend()
    chan.wakeup()

    assert chan.block(intent, "nap", timeout=LIMIT_S) is True


def test_a_timeout_is_false_and_not_early(cell, lock, chan):
    lock.acquire()
    began = time.monotonic()

    assert chan.sleep(lock, "nap", (cell, "turn", 1), timeout=0.15) is False

    assert time.monotonic() - began >= 0.15
    with lock:
        assert chan.wait(lock, "turn", (cell, "turn", 1), 0.15) is False
        assert lock.held()


def test_wait_gives_the_lock_back_to_its_with_even_when_interrupted(cell, lock, chan, sliced, arena, actors):
    def waiter(me):
        arena.native.sit("sleeper")
        with pytest.raises(KeyboardInterrupt), lock:
            chan.wait(lock, "turn", (cell, "turn", 1))
        arena.native.require_nothing_held()
        me.say("clean")

    actor = actors.actor(waiter)
    wait_until(asleep(arena), "the sleeper")
    actor.interrupt()
    actor.expect("clean")
    actor.end()

    assert reported.reports(arena) == []


def test_a_bad_condition_is_refused_before_anything_is_released(cell, lock, chan):
    with lock:
        for until in [(cell, "none", 1), (cell, "turn", "~", 1), (cell, "array", 1)]:
            with pytest.raises(BadInput, match="the field must be a word of the record"):
                chan.sleep(lock, "nap", until)
            assert lock.held()
        with pytest.raises(BadInput, match="the field must be a word of the record"):
            chan.wait(lock, "nap", (cell, "array", 1))
        assert lock.held()


def test_the_sleeper_shows_its_condition_its_guard_and_its_message(cell, lock, chan, mode, arena, actors):
    actor = actors.actor(sleeper(chan, lock, cell), mode)
    wait_until(asleep(arena), "the sleeper")
    (seat,) = seats(arena)

    assert seat.predicate_address == cell.address + Cell.turn.offset
    assert (seat.predicate_size, seat.predicate_op, seat.predicate_value) == (4, C["EQ"], 1)
    assert seat.wait_guard == lock.offset
    assert seat.wait_lock == chan.offset
    assert seat.wait_intent == chan.intend()
    assert arena.native.name(seat.wait_message) == "nap"

    chan.wakeup()
    actor.expect("woken True")
    actor.end()
    assert seat.predicate_op == C["NO_PREDICATE"]


def test_a_killed_sleeper_costs_the_others_nothing(cell, lock, chan, arena, actors):
    doomed, other = (actors.actor(sleeper(chan, lock, cell)) for _ in range(2))
    wait_until(asleep(arena, 2), "two sleepers")
    doomed.kill()

    chan.wakeup_one()
    other.expect("woken True")
    other.end()
    for _ in range(3):
        third = actors.actor(sleeper(chan, lock, cell))
        wait_until(asleep(arena, 2), "the third, beside the dead one's seat")
        chan.wakeup()
        third.expect("woken True")
        third.end()
    with lock:
        pass


def test_a_sleeper_that_holds_a_lock_which_forbids_it_is_reported(lock, chan, arena):
    other, allowed = arena.mutex("other"), arena.mutex("patient", may_sleep=True)
    allowed.acquire()
    lock.acquire()
    chan.sleep(lock, "nap", timeout=0)
    assert reported.reports(arena) == []

    with other:
        lock.acquire()
        chan.sleep(lock, "nap", timeout=0)

    assert [(report.kind, report.held) for report in reported.reports(arena)] == [("sleep_holding", "other")]
    allowed.release()


@pytest.mark.parametrize(
    ("op", "value", "true", "false"),
    [
        ("==", 3, 3, 4), ("!=", 3, 4, 3), (">", 3, 4, 3), (">=", 3, 3, 2),
        ("<", 3, 2, 3), ("<=", 3, 3, 4), ("clear", 6, 9, 2), ("set", 6, 2, 9),
    ],
)  # fmt: skip
def test_every_operator_means_what_it_says(cell, op, value, true, false):
    until = (cell, "small", op, value)

    cell.small = true
    assert holds(until) is True
    cell.small = false
    assert holds(until) is False
    assert predicate(until) == (cell.address + Cell.small.offset, 1, OPERATORS[op], value)


def test_without_an_operator_equality_is_meant(cell):
    assert predicate((cell, "count", 7)) == predicate((cell, "count", "==", 7))
    assert predicate(None) == (0, 0, 0, 0)
    assert predicate((cell, "count", (1 << 64) - 1))[3] == -1


def test_a_pickled_lock_or_channel_is_the_same_one(arena, lock, chan):
    shared = arena.rwlock("shared")

    for one in (lock, chan, shared):
        again = pickle.loads(pickle.dumps(one))
        assert (type(again), again.offset, again.home) == (type(one), one.offset, arena)
    with pickle.loads(pickle.dumps(lock)):
        assert lock.held()
