"""A read/write lock whose users are killed: of which deaths the next holder is told, and of which not."""

import threading

import pytest

from harness.errors import LockBroken, OwnerDied
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks.test_rwlock import FREE, counts, doing, taker


@pytest.fixture
def lock(arena):
    arena.native.sit("test")
    return arena.rwlock("map")


def test_a_killed_reader_is_as_if_it_had_not_been_there(lock, actors):
    actor = actors.actor(taker(lock, "read"))
    actor.expect("got True")
    actor.kill()

    assert lock.try_write()
    assert lock.held() == "write"
    lock.release()
    assert lock.read(0)


def test_a_killed_writer_is_told_to_the_next_one(lock, actors):
    actor = actors.actor(taker(lock, "write"))
    actor.expect("got True")
    actor.kill()

    with pytest.raises(OwnerDied):
        lock.write(LIMIT_S)
    assert lock.held() == "write"
    lock.recover()
    lock.release()

    with lock.reading():
        assert counts(lock)["readers"] == 1


def test_a_reader_that_gives_a_suspect_lock_up_breaks_it(lock, actors):
    actor = actors.actor(taker(lock, "write"))
    actor.expect("got True")
    actor.kill()

    with pytest.raises(OwnerDied), lock.reading():
        pytest.fail("the body must not run on suspect data")

    assert lock.held() is None
    with pytest.raises(LockBroken):
        lock.read(LIMIT_S)


def test_a_killed_waiting_writer_does_not_keep_readers_out(lock, arena, actors):
    lock.read()
    writer = actors.actor(taker(lock, "write"))
    wait_until(doing(arena, "wait write"), "the writer")
    writer.kill()

    reader_behind = threading.Thread(target=lambda: lock.read(LIMIT_S) and lock.release())
    reader_behind.start()
    reader_behind.join(LIMIT_S)

    assert not reader_behind.is_alive()
    lock.release()
    assert counts(lock) == FREE


def test_an_upgrader_killed_while_it_waited_is_as_if_it_had_not_been_there(lock, arena, actors):
    lock.read()

    def upgrades(me):
        lock.read()
        me.say("reading")
        lock.upgrade()

    upgrader = actors.actor(upgrades)
    upgrader.expect("reading")
    wait_until(doing(arena, "wait upgrade"), "the upgrade")
    upgrader.kill()
    lock.release()

    assert lock.write(LIMIT_S)  # it only read: what it left says nothing about the data
    lock.release()
    assert lock.read(0)
