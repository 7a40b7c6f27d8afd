"""A loop around a try is a wait: its seat says which lock it polls, since when and how often."""

import os

import pytest

from harness.shm import native
from harness.shm.roster import Roster
from tests.harness.actors import wait_until

TRIES = {
    "mutex": lambda lock: lock.try_acquire(),
    "mutex with a limit": lambda lock: lock.acquire(timeout=0.001),
    "write": lambda lock: lock.try_write(),
    "read": lambda lock: lock.try_read(),
    "read with a limit": lambda lock: lock.read(0.001),
    "write with a limit": lambda lock: lock.write(0.001),
}


def kept(lock, actors):
    def body(me):
        lock.acquire()
        me.say("holding")
        me.hear("release")
        lock.release()

    actor = actors.actor(body)
    actor.expect("holding")
    return actor


@pytest.fixture
def seat(arena):
    return native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.sit("poller")))


@pytest.mark.parametrize("way", TRIES)
def test_failed_tries_at_one_lock_are_counted_until_it_is_got(way, arena, actors, seat):
    take = TRIES[way]
    lock = getattr(arena, "mutex" if "mutex" in way else "rwlock")("account")
    other = arena.mutex("another", nest=True)
    keeper = kept(lock, actors)
    before = arena.native.now()

    for polls in (1, 2, 3):
        assert not take(lock)
        with other:  # what it gets meanwhile changes nothing
            pass
        assert (seat.polled_lock, seat.polls) == (lock.offset, polls)

    assert before <= seat.polled_since <= arena.native.now()
    assert arena.native.site(seat.polled_site)[0].endswith("test_polling.py")
    keeper.tell("release")
    keeper.end()
    assert take(lock)
    assert seat.polled_lock == 0
    lock.release()


def test_another_lock_begins_a_new_count(arena, actors, seat):
    one, two = arena.mutex("one"), arena.mutex("two")
    keepers = [kept(one, actors), kept(two, actors)]
    assert not one.try_acquire()
    assert not one.try_acquire()
    since = seat.polled_since

    assert not two.try_acquire()

    assert (seat.polled_lock, seat.polls) == (two.offset, 1)
    assert seat.polled_since >= since
    for keeper in keepers:
        keeper.tell("release")
        keeper.end()


def test_ones_own_lock_is_not_polled(arena, seat):
    lock = arena.mutex("own")
    with lock:
        assert lock.try_acquire() is False

        assert seat.polled_lock == 0


def test_waiting_for_a_lock_is_no_failure_however_it_gets_it(arena, actors):
    """Spinning, sleeping and the try after a spin: none of them is a restart of the program."""
    lock = arena.mutex("hot")
    rounds = 400  # each of them hands the processor over: seconds on a crowded machine

    def body(me):
        arena.native.sit("worker")
        me.say("ready")
        me.hear("go")
        for _ in range(rounds):
            with lock:
                os.sched_yield()  # another one asks for it now
        me.say("done")
        me.hear("end")

    workers = [actors.actor(body) for _ in range(3)]
    for worker in workers:
        worker.expect("ready")
    for worker in workers:
        worker.tell("go")
    for worker in workers:
        worker.expect("done")
    record = native.Mutex.from_buffer(arena.mapping, lock.offset)

    rows = [row for row in Roster(arena).rows() if row.role == "worker"]

    assert (record.acquired, len(rows)) == (3 * rounds, 3)
    assert record.contended > 0, "they never met: the test proves nothing"
    assert [row.failures for row in rows] == [0, 0, 0]
    seats = [native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(row.number)) for row in rows]
    assert [seat.polls for seat in seats] == [0, 0, 0]
    for worker in workers:
        worker.tell("end")
        worker.end()


def test_a_wait_without_a_limit_is_no_poll(arena, actors, seat):
    lock = arena.mutex("account")
    keeper = kept(lock, actors)
    waiting = actors.actor(lambda _: lock.acquire() and lock.release(), "thread")
    wait_until(lambda: [row for row in Roster(arena).rows() if row.activity == "wait mutex"], "the waiter")

    assert not [
        row.number
        for row in Roster(arena).rows()
        if native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(row.number)).polls
    ]
    keeper.tell("release")
    keeper.end()
    waiting.end()


def for_good(seat):
    """Failures that no lock has taken back, and those that one still may."""
    return seat.failures - seat.spared - seat.spun, seat.spun


def test_tries_that_end_with_the_lock_were_a_wait(arena, actors, seat):
    lock = arena.mutex("account")
    keeper = kept(lock, actors)
    for _ in range(5):
        assert not lock.try_acquire()
    assert (seat.failures, for_good(seat)) == (5, (0, 1))

    keeper.tell("release")
    keeper.end()
    assert lock.try_acquire()

    assert (seat.failures, for_good(seat)) == (5, (0, 0))
    lock.release()


def test_with_nothing_held_any_lock_ends_what_was_tried_at_others(arena, actors, seat):
    taken = [arena.mutex("account", number) for number in range(2)]
    keepers = [kept(lock, actors) for lock in taken]
    for _ in range(3):
        assert not any(lock.try_acquire() for lock in taken)
    assert (seat.failures, for_good(seat)) == (6, (0, 6))

    with arena.mutex("another"):
        pass

    assert for_good(seat) == (0, 0)
    for keeper in keepers:
        keeper.tell("release")
        keeper.end()


def test_polling_with_a_lock_kept_fails_on_all_locks_but_one(arena, actors, seat):
    taken = [arena.mutex("account", number) for number in range(2)]
    keepers = [kept(lock, actors) for lock in taken]
    with arena.mutex("mine"):
        for _ in range(3):
            assert not any(lock.try_acquire() for lock in taken)
        with arena.mutex("another"):
            pass
        assert for_good(seat) == (0, 6)

        keepers[0].tell("release")
        keepers[0].end()
        assert taken[0].try_acquire()

        assert for_good(seat) == (0, 0)
        taken[0].release()
    assert for_good(seat) == (0, 0)
    keepers[1].tell("release")
    keepers[1].end()


def test_a_thread_that_gives_back_what_it_tried_with_has_failed_for_good(arena, actors, seat):
    taken = [arena.mutex("account", number) for number in range(2)]
    keepers = [kept(lock, actors) for lock in taken]
    mine, beside = arena.mutex("mine"), arena.mutex("beside")
    mine.acquire()
    beside.acquire()
    for _ in range(3):
        assert not any(lock.try_acquire() for lock in taken)

    mine.release()

    assert for_good(seat) == (6, 0)
    keepers[1].tell("release")
    keepers[1].end()
    assert taken[1].try_acquire()
    assert for_good(seat) == (5, 0), "only the wait that came to its end"
    taken[1].release()
    beside.release()
    keepers[0].tell("release")
    keepers[0].end()


def test_tries_with_more_held_are_no_part_of_those_before(arena, actors, seat):
    taken = [arena.mutex("account", number) for number in range(3)]
    keepers = [kept(lock, actors) for lock in taken]
    with arena.mutex("mine"):
        assert not taken[0].try_acquire()
        with arena.mutex("another"):
            assert not taken[1].try_acquire()
            assert for_good(seat) == (1, 1)

        assert not taken[2].try_acquire()
        assert for_good(seat) == (1, 2)

    assert for_good(seat) == (3, 0)
    for keeper in keepers:
        keeper.tell("release")
        keeper.end()


def test_a_wait_with_a_limit_adds_no_failure_to_take_back(arena, actors, seat):
    lock = arena.mutex("account")
    keeper = kept(lock, actors)
    with arena.mutex("mine"):
        assert not lock.acquire(timeout=0.001)
        assert not lock.try_acquire()
        keeper.tell("release")
        keeper.end()
        assert lock.try_acquire()

    assert (seat.failures, for_good(seat)) == (1, (0, 0))
    lock.release()
