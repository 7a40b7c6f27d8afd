"""A read/write lock that one thread holds for reading twice."""

import select
import time

import pytest

from harness.errors import SelfDeadlock
from tests.harness.locks.test_rwlock import FREE, counts


@pytest.fixture
def lock(arena):
    arena.native.sit("test")
    return arena.rwlock("map")


@pytest.fixture(params=["thread", "process"])
def mode(request):
    return request.param


def test_a_thread_that_reads_twice_is_one_reader_until_it_has_released_twice(lock, mode, actors):
    lock.read()
    lock.read(pass_writers=True)

    def waits_for_some_slices(me):
        lock.home.native.sit("writer")
        me.say(lock.write(0.35))
        me.say(lock.write())
        lock.release()

    writer = actors.actor(waits_for_some_slices, mode)
    writer.expect("False")

    assert counts(lock)["readers"] == 1
    lock.release()
    assert (counts(lock)["readers"], lock.held()) == (1, "read")
    assert writer.says_nothing_for(0.05)
    lock.release()
    writer.expect("True")
    writer.end()
    assert counts(lock) == FREE


def test_who_reads_twice_cannot_upgrade_because_it_would_wait_for_itself(lock):
    lock.read()
    lock.read(pass_writers=True)

    with pytest.raises(SelfDeadlock, match="its own other read"):
        lock.upgrade()

    assert (lock.held(), counts(lock)["upgrader"]) == ("read", 0)
    lock.release()
    assert lock.upgrade() is True
    lock.release()


def test_readers_that_pass_writers_do_not_keep_one_out_for_ever(lock, actors):
    """Three of them overlap without a gap, unless each gives a waiting writer its moment first."""

    def reads_again_and_again(me):
        me.say("ready")
        me.hear("go")
        for _ in range(400):
            lock.read(pass_writers=True)
            time.sleep(0.002)  # as long as it reads
            lock.release()
        me.say("done")

    readers = [actors.actor(reads_again_and_again) for _ in range(3)]
    for reader in readers:
        reader.expect("ready")
    for reader in readers:
        reader.tell("go")

    written = 0
    while all(select.select([reader.from_actor.out], [], [], 0)[0] == [] for reader in readers):
        with lock:
            written += 1

    for reader in readers:
        reader.expect("done")
        reader.end()
    assert written >= 10
