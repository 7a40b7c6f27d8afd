"""A read/write lock that one thread holds for reading twice."""

import pytest

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
