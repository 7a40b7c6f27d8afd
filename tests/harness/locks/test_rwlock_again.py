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


def test_counts_that_are_made_again_keep_both_holds_of_who_reads_twice(lock, mode, actors):
    lock.read()
    lock.read(pass_writers=True)

    def waits_for_some_slices(me):  # each of them ends with a new count, taken from the seats
        lock.home.native.sit("writer")
        me.say(lock.write(0.35))

    writer = actors.actor(waits_for_some_slices, mode)
    writer.expect("False")
    writer.end()

    assert counts(lock)["readers"] == 2
    lock.release()
    assert counts(lock)["readers"] == 1
    assert lock.held() == "read"
    lock.release()
    assert counts(lock) == FREE
