"""Locks, sides of a read/write lock and conditions do what their namesakes in threading do."""

import inspect
import pickle
import threading
import time

import pytest

from harness.errors import BadInput, LockError, NotOwner
from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, wait_until

KINDS = {
    "mutex": lambda arena: arena.mutex("m"),
    "rwlock": lambda arena: arena.rwlock("rw"),
    "write side": lambda arena: arena.rwlock("rw").write,
    "read side": lambda arena: arena.rwlock("rw").read,
    "threading.Lock": lambda _: threading.Lock(),
}
OURS = [kind for kind in KINDS if kind != "threading.Lock"]


@pytest.fixture(params=KINDS)
def lock(request, arena):
    return KINDS[request.param](arena)


@pytest.fixture(params=OURS)
def ours(request, arena):
    return KINDS[request.param](arena)


@pytest.fixture
def keeper(arena, actors):
    """``keeper(lock)``: another thread has it until ``tell("release")``; of a side, the write side."""

    def start(lock):
        taken = arena.rwlock("rw").write if "side" in repr(lock) else lock

        def body(me):
            taken.acquire()
            me.say("holding")
            me.hear("release")
            taken.release()

        actor = actors.actor(body, "thread")
        actor.expect("holding")
        return actor

    return start


def test_it_is_taken_and_given_back(lock):
    assert lock.locked() is False

    assert lock.acquire() is True

    assert lock.locked() is True
    assert lock.release() is None
    assert lock.locked() is False


def test_a_block_holds_it(lock):
    with lock as got:
        assert got is True
        assert lock.locked()

    assert not lock.locked()


def test_without_blocking_it_says_at_once_that_it_is_held(lock, keeper):
    other = keeper(lock)

    assert lock.acquire(False) is False
    assert lock.acquire(blocking=False) is False

    other.tell("release")
    other.end()
    assert lock.acquire(blocking=False) is True
    lock.release()


def test_after_the_timeout_it_says_that_it_is_held(lock, keeper):
    other = keeper(lock)

    began = time.monotonic()
    assert lock.acquire(True, 0.05) is False
    assert lock.acquire(timeout=0.05) is False
    assert time.monotonic() - began >= 0.1

    other.tell("release")
    other.end()


def test_a_timeout_of_minus_one_is_none(lock, keeper, actors):
    other = keeper(lock)

    def waiter(me):
        me.say("asks")
        me.say(lock.acquire(timeout=-1))
        lock.release()

    waiting = actors.actor(waiter, "thread")
    waiting.expect("asks")
    other.tell("release")
    waiting.expect("True")
    waiting.end()
    other.end()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"blocking": False, "timeout": 1}, ValueError, "timeout"),
        ({"timeout": -2}, ValueError, "timeout"),
        ({"timeout": "soon"}, TypeError, "timeout"),
        ({"block": True}, TypeError, "block"),
    ],
)
def test_what_threading_refuses_is_refused(ours, given, error, said):
    threads = threading.Lock()
    with pytest.raises(error):
        threads.acquire(**given)

    with pytest.raises(error, match=said):
        ours.acquire(**given)

    assert ours.locked() is False


@pytest.mark.parametrize("number", [0, 1, 2.5, None])
def test_a_number_in_place_of_blocking_is_refused(ours, number):
    with pytest.raises(TypeError, match=r"blocking=.*timeout="):
        ours.acquire(number)

    assert ours.locked() is False


def test_giving_back_what_is_not_held_is_an_error(ours):
    with pytest.raises(NotOwner):
        ours.release()


def test_two_readers_are_inside_at_a_time_and_a_writer_alone(arena, actors):
    rw = arena.rwlock("rw")

    def reader(me):
        with rw.read:
            me.say("inside")
            me.hear("leave")

    others = [actors.actor(reader, "process") for _ in range(2)]
    for other in others:
        other.expect("inside")
    with rw.read:
        assert len(rw.holders()) == 3
        assert (rw.read.locked(), rw.write.locked(), rw.locked()) == (True, False, True)
    assert rw.write.acquire(blocking=False) is False
    for other in others:
        other.tell("leave")
        other.end()

    with rw.write:
        assert (rw.held(), rw.read.locked(), rw.write.locked()) == ("write", False, True)


def test_a_reader_that_upgraded_leaves_its_block_as_a_writer(arena):
    rw = arena.rwlock("rw")

    with rw.read:
        assert rw.upgrade()
        assert rw.held() == "write"

    assert not rw.locked()


def test_a_side_is_known_by_the_line_that_took_it(arena):
    rw = arena.rwlock("rw")

    with rw.write:
        holder = rw.holder()

    source, first = inspect.getsourcelines(test_a_side_is_known_by_the_line_that_took_it)
    taken = first + next(number for number, text in enumerate(source) if "with rw.write" in text)
    assert holder.site[:2] == (__file__, taken)

    assert pickle.loads(pickle.dumps(rw.read)).lock is not None
    assert repr(rw.read) == "<read side of rw[0]>"


def test_a_condition_hands_values_to_another_process(arena, actors):
    room = arena.condition("room", arena.mutex("m"))
    box = arena.record({"full": bool, "value": int})

    def consumer(me):
        for wanted in range(20):
            with room:
                assert room.wait_for((box, "full", 1), LIMIT_S), "the producer"
                assert box.value == wanted
                box.full = False
                room.notify_all()
        me.say("had all")

    actor = actors.actor(consumer, "process")
    for value in range(20):
        with room:
            assert room.wait_for((box, "full", 0), LIMIT_S), "the consumer"
            box.value, box.full = value, True
            room.notify()

    actor.expect("had all")
    actor.end()


def test_wait_without_a_condition_ends_at_a_notify_or_the_timeout(arena, actors):
    room = arena.condition("room", arena.mutex("m"))

    def sleeper(me):
        with room:
            me.say("asks")
            me.say(room.wait(LIMIT_S))
            me.say(room.lock.held())

    with room:
        assert room.wait(timeout=0.02) is False
        assert room.lock.held()
    actor = actors.actor(sleeper, "process")
    actor.expect("asks")
    wait_until(lambda: room.acquire(blocking=False) and sleeps(room), "the sleeper's release")
    room.notify()
    room.release()

    actor.expect("True")
    actor.expect("True")
    actor.end()


def sleeps(room) -> bool:
    """The lock is ours, so the other sleeps on the channel or has not come to it."""
    if Roster(room.lock.home).waiting_for(room.channel.offset):
        return True
    room.release()
    return False


def test_notify_wakes_as_many_as_it_says(arena, actors):
    room = arena.condition("room", arena.mutex("m"))

    def sleeper(me):
        with room:
            me.say(room.wait(LIMIT_S))

    others = [actors.actor(sleeper, "process") for _ in range(3)]
    wait_until(lambda: Roster(arena).waiting_for(room.channel.offset) == 3, "three sleepers")
    with room:
        room.notify(2)
    wait_until(lambda: Roster(arena).waiting_for(room.channel.offset) == 1, "two that woke")
    with room:
        room.notify_all()

    for other in others:
        other.expect("True")
        other.end()


def test_a_function_serves_as_a_condition(arena):
    room = arena.condition("room", arena.mutex("m"))

    with room:
        assert room.wait_for(lambda: True) is True
        assert room.wait_for(lambda: False, 0.02) is False
        assert room.lock.held()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda channel, *_: channel.wait("lock"), "lock='lock'"),
        (lambda channel, lock, _: channel.wait(lock, timeout="x"), "timeout='x'"),
        (lambda channel, lock, _: channel.wait(lock, timeout=-3), "timeout=-3"),
        (lambda channel, lock, _: channel.wait_for(lock, None), "until=None"),
        (lambda channel, lock, _: channel.wait_for(lock, (1, 2)), "until="),
        (lambda channel, lock, box: channel.wait_for(lock, (box, 3, 1)), "until: field=3"),
        (lambda channel, lock, box: channel.wait_for(lock, (box, "items", "x")), "until: value='x'"),
        (lambda channel, lock, box: channel.wait_for(lock, (box, "items", "=>", 1)), "'=>'"),
        (lambda channel, lock, box: channel.wait_for(lock, (box, "load", ">", 1)), "'load'"),
        (lambda channel, *_: channel.notify(0), "n=0"),
    ],
)
def test_a_channel_names_the_argument_that_is_wrong(arena, call, said):
    lock, channel = arena.mutex("m"), arena.channel("c")
    box = arena.record({"items": int, "load": float})

    with lock, pytest.raises((BadInput, TypeError, ValueError)) as caught:
        call(channel, lock, box)

    assert said in str(caught.value)
    assert not isinstance(caught.value, LockError)


@pytest.mark.parametrize("verb", ["wait", "notify", "notify_all"])
@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_a_condition_without_its_lock_refuses(arena, verb, kind):
    room = arena.condition("room", getattr(arena, kind)("m"))

    with pytest.raises(NotOwner, match=rf"{verb} on room\[0\]: this thread does not hold m\[0\]"):
        getattr(room, verb)()


def test_a_condition_that_holds_already_still_needs_its_lock(arena):
    with pytest.raises(NotOwner, match="wait_for on room"):
        arena.condition("room", arena.mutex("m")).wait_for(lambda: True)
