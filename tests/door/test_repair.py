"""What to write where a holder may be killed inside: both patterns of the documentation, with a real one."""

import pytest

from harness.errors import BadInput, LockBroken, OwnerDied
from tests.harness.actors import LIMIT_S

KINDS = ["mutex", "rwlock"]


@pytest.fixture(params=KINDS)
def lock(request, arena):
    return getattr(arena, request.param)("account")


@pytest.fixture
def account(arena):
    return arena.record({"total": 100, "parts": 100})


@pytest.fixture
def half_done(lock, account, actors):
    """A process was killed when it had changed one of two words that belong together."""

    def teller(me):
        with lock:
            account.total -= 30
            me.say("halfway")
            me.hear("never")

    actor = actors.actor(teller, "process")
    actor.expect("halfway")
    pid = actor.pid
    actor.kill()
    return pid


def test_a_block_repairs_first_and_goes_on(lock, account, half_done):
    told = []

    def rebuild(died: OwnerDied) -> None:
        assert lock.held()
        told.append((died.lock, died.holder.pid))
        account.parts = account.total

    with lock.repaired_by(rebuild) as repaired:
        assert repaired is True
        assert account.parts == account.total == 70

    assert told == [(lock, half_done)]
    with lock.repaired_by(rebuild) as repaired:
        assert repaired is False
    with lock:
        assert len(told) == 1


def test_acquire_repairs_with_the_lock_that_the_error_carries(account, half_done, lock):
    try:
        lock.acquire()
    except OwnerDied as died:
        account.parts = account.total
        died.lock.recover()
    try:
        assert account.parts == 70
    finally:
        lock.release()

    assert lock.acquire(timeout=LIMIT_S)


def test_a_repair_that_fails_breaks_the_lock_and_its_error_is_seen(lock, half_done):
    def rebuild(_):
        raise ValueError("cannot")

    with pytest.raises(ValueError, match="cannot"), lock.repaired_by(rebuild):
        pytest.fail("the block must not run on suspect data")

    assert not lock.held()
    with pytest.raises(LockBroken):
        lock.acquire(timeout=LIMIT_S)


def test_a_repairer_that_is_killed_leaves_it_to_the_next_one(lock, account, half_done, actors):
    def rebuild(me):
        def stuck(_):
            me.say("repairs")
            me.hear("never")

        with lock.repaired_by(stuck):
            me.say("had it")

    second = actors.actor(rebuild, "process")
    second.expect("repairs")
    second.kill()

    with lock.repaired_by(lambda _: setattr(account, "parts", account.total)) as repaired:
        assert repaired
        assert account.parts == 70


def test_an_ordinary_block_gives_it_up_and_says_so(lock, half_done):
    with pytest.raises(OwnerDied, match="gives it up") as caught, lock:
        pytest.fail("the block must not run on suspect data")

    assert caught.value.lock is lock
    with pytest.raises(LockBroken):
        lock.acquire(timeout=LIMIT_S)


def test_an_error_of_the_block_is_the_error(lock):
    with pytest.raises(ZeroDivisionError), lock.repaired_by(lambda _: None):
        raise ZeroDivisionError

    assert not lock.locked()


def test_what_cannot_repair_is_refused_at_the_call(lock):
    with pytest.raises((BadInput, TypeError), match="repair=3"):
        lock.repaired_by(3)
