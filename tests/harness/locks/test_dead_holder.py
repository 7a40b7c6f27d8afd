"""OwnerDied says which lock, which holder died, how long ago it had taken it, and in which line."""

import inspect
import os
import pickle

import pytest

from harness.errors import LockBroken, OwnerDied
from tests.harness.actors import LIMIT_S
from tests.harness.locks import reported

WAYS = {
    "acquire": ("mutex", lambda lock: lock.acquire(timeout=LIMIT_S)),
    "try": ("mutex", lambda lock: lock.try_acquire()),
    "with": ("mutex", lambda lock: lock.__enter__()),
    "write": ("rwlock", lambda lock: lock.write(LIMIT_S)),
    "read": ("rwlock", lambda lock: lock.read(LIMIT_S)),
    "try_write": ("rwlock", lambda lock: lock.try_write()),
    "with write": ("rwlock", lambda lock: lock.__enter__()),
    "with writing": ("rwlock", lambda lock: lock.writing().__enter__()),
    "with reading": ("rwlock", lambda lock: lock.reading().__enter__()),
    "read side": ("rwlock", lambda lock: lock.read.acquire(timeout=LIMIT_S)),
    "with read side": ("rwlock", lambda lock: lock.read.__enter__()),
    "with write side": ("rwlock", lambda lock: lock.write.__enter__()),
}


def victim_of(lock, arena):
    def body(me):
        arena.native.sit("teller#3")
        lock.acquire()
        me.say("holding")
        me.hear("never")

    return body


def dead_holder(lock, arena, actors):
    actor = actors.actor(victim_of(lock, arena))
    actor.expect("holding")
    pid = actor.pid
    actor.kill()
    return pid


@pytest.mark.parametrize("way", WAYS)
def test_the_error_names_lock_dead_holder_role_line_and_age(way, arena, actors):
    kind, take = WAYS[way]
    arena.native.sit("test")
    lock = getattr(arena, kind)("account", instance=7)
    pid = dead_holder(lock, arena, actors)
    line = inspect.getsourcelines(victim_of)[1] + 3

    with pytest.raises(OwnerDied) as caught:
        take(lock)

    error = caught.value
    assert error.lock is lock
    assert (error.lock_name, error.holder.pid, error.holder.role) == ("account[7]", pid, "teller#3")
    assert error.holder.site[1:] == (line, "victim_of.<locals>.body")
    assert error.holder.alive is False
    assert error.holder.held_for >= 0
    for part in ("account[7]", f"pid {pid} (teller#3)", f":{line} (victim_of.<locals>.body)", " s ago"):
        assert part in str(error)
    (report,) = reported.reports(arena)
    assert report.kind == "owner_died"
    assert f"pid {pid} (teller#3)" in report.text
    gave_up = way.startswith("with")
    assert ("`with` gives it up" in str(error)) == gave_up
    assert bool(lock.held()) is not gave_up
    if gave_up:
        with pytest.raises(LockBroken):
            lock.acquire(timeout=LIMIT_S)


def test_the_dead_one_is_known_to_a_waiter_that_saw_it_alive(arena, actors):
    lock = arena.mutex("account")
    actor = actors.actor(victim_of(lock, arena))
    actor.expect("holding")
    pid = actor.pid

    def waiter(me):
        me.say("ready")
        with pytest.raises(OwnerDied) as caught:
            lock.acquire()
        me.say(f"{caught.value.holder.pid} {caught.value.holder.role}")

    waiting = actors.actor(waiter)
    waiting.expect("ready")
    actor.kill()

    waiting.expect(f"{pid} teller#3")
    waiting.end()


def test_of_a_dead_one_whose_seat_is_in_use_again_nothing_is_made_up(actors):
    from harness.shm import Arena

    with Arena.create("small", seats=2) as arena:
        lock = arena.mutex("account")
        arena.native.sit("test")
        dead_holder(lock, arena, actors)
        newcomer = actors.actor(lambda _: arena.native.sit("newcomer"))
        newcomer.end()

        with pytest.raises(OwnerDied, match=r"account\[0\].*seat is in use again") as caught:
            lock.acquire(timeout=LIMIT_S)

        assert (caught.value.lock_name, caught.value.holder) == ("account[0]", None)
        lock.recover()
        lock.release()


def test_the_error_can_be_sent_to_another_process(arena, actors):
    lock = arena.mutex("account")
    pid = dead_holder(lock, arena, actors)
    with pytest.raises(OwnerDied) as caught:
        lock.acquire(timeout=LIMIT_S)

    again = pickle.loads(pickle.dumps(caught.value))

    assert (str(again), again.lock_name, again.holder.pid) == (str(caught.value), "account[0]", pid)
    assert (again.lock.name, again.lock.held()) == ("account[0]", True)
    assert again.holder == caught.value.holder
    assert pid != os.getpid()
