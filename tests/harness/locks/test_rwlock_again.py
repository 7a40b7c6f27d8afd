"""A read/write lock that one thread holds for reading twice."""

import time

import pytest

from harness.errors import SelfDeadlock
from tests.harness.locks.test_rwlock import FREE, counts
from tests.waiting import LIMIT_S

READERS, TURNS = 6, 200


@pytest.fixture
def lock(arena):
    arena.native.sit("test")
    return arena.rwlock("map")


@pytest.fixture(params=["thread", "process"])
def mode(request):
    return request.param


def test_a_thread_that_reads_twice_is_a_reader_until_its_second_release(lock, mode, actors):
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
    """Some of them overlap without a gap, unless each gives a waiting writer its moment first.

    With that moment a turn is a matter of milliseconds, without it one of seconds: the limit of the wait
    lies far from both.
    """

    def reads_again_and_again(me):
        lock.read()
        me.say("reading")
        while not me.inbox.filled():
            lock.release()
            lock.read(pass_writers=True)
            time.sleep(0.002)  # as long as it reads
        lock.release()
        me.hear("enough")

    readers = [actors.actor(reads_again_and_again) for _ in range(READERS)]
    for reader in readers:
        reader.expect("reading")

    until = time.monotonic() + LIMIT_S
    for turn in range(TURNS):
        assert lock.write(max(0.0, until - time.monotonic())), f"only {turn} turns in {LIMIT_S:g} s"
        lock.release()

    for reader in readers:
        reader.tell("enough")
    for reader in readers:
        reader.end()
