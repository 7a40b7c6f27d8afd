"""One battery for every kind of exclusive lock, between threads and between processes."""

import inspect
import os
import resource
import threading
import time

import pytest

from harness.errors import LockBroken, NotOwner, OwnerDied, SelfDeadlock
from harness.shm import native
from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks import held, reported
from tests.harness.shm.records import Plain

KINDS = ["mutex", "rwlock"]
MODES = ["thread", "process"]


@pytest.fixture(params=KINDS)
def lock(request, arena):
    arena.native.sit("test")
    return getattr(arena, request.param)("tested", instance=4)


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def holder_of(lock):
    """A body that takes the lock, and gives it back when told."""

    def body(me):
        lock.home.native.sit("keeper")
        lock.acquire()
        me.say("holding")
        me.hear("release")
        lock.release()

    return body


def is_waiting(arena):
    return any(row.activity.startswith("wait") for row in Roster(arena).rows())


def no_thread_waits(lock) -> bool:
    kind = native.Mutex if type(lock).__name__ == "Mutex" else native.RwLock
    row = kind.from_buffer(lock.home.mapping, lock.offset)
    return not is_waiting(lock.home) and not row.first


# --- exclusion


def test_a_counter_loses_nothing(lock, mode, arena, actors):
    cell = arena.table("cell", Plain, 1)[1]
    rounds = 100

    def adder(me):
        me.say("ready")
        me.hear("go")
        for _ in range(rounds):
            with lock:
                value = cell.value
                os.sched_yield()  # without exclusion another thread gets in here
                cell.value = value + 1

    adders = [actors.actor(adder, mode) for _ in range(3)]
    for actor in adders:
        actor.expect("ready")
    for actor in adders:
        actor.tell("go")
    for actor in adders:
        actor.end()

    assert cell.value == 3 * rounds
    assert reported.reports(arena) == []
    assert lock.holder() is None


def test_a_waiter_gets_it_when_it_is_released(lock, mode, arena, actors):
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")

    got = []
    waiter = threading.Thread(target=lambda: got.append(lock.acquire(timeout=LIMIT_S) and lock.release()))
    waiter.start()
    wait_until(lambda: is_waiting(arena), "the waiter")
    assert got == []
    actor.tell("release")
    actor.end()
    waiter.join(LIMIT_S)

    assert got == [None]
    assert no_thread_waits(lock)


# --- time limits and tries


def test_a_timeout_is_false_and_not_early(lock, mode, actors):
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")

    began = time.monotonic()
    got = lock.acquire(timeout=0.15)
    took = time.monotonic() - began

    assert got is False
    assert took >= 0.15
    assert not lock.held()
    assert no_thread_waits(lock)
    actor.tell("release")
    actor.end()
    assert lock.acquire(timeout=0) is True


def test_a_timeout_of_zero_does_not_wait(lock, mode, actors):
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")

    # A thread that sleeps gives its processor away; how long that takes says nothing on a loaded machine.
    slept = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    assert lock.acquire(timeout=0) is False
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw == slept

    actor.tell("release")
    actor.end()


@pytest.mark.parametrize("timeout", [-2, float("nan"), "soon", True])
def test_a_timeout_that_is_none_is_refused(lock, timeout):
    with pytest.raises((ValueError, TypeError)):
        lock.acquire(timeout=timeout)

    assert lock.holder() is None


def test_a_try_never_waits(lock, mode, arena, actors):
    failures = Roster(arena).row(arena.native.seat()).failures
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")

    assert lock.try_acquire() is False
    assert lock.try_acquire() is False

    assert Roster(arena).row(arena.native.seat()).failures == failures + 2
    assert held.mine(arena) == []
    actor.tell("release")
    actor.end()
    assert lock.try_acquire() is True
    assert lock.held()


# --- misuse


def test_taking_ones_own_lock_is_an_error_at_once_and_a_report(lock, arena):
    lock.acquire()

    with pytest.raises(SelfDeadlock):
        lock.acquire()
    with pytest.raises(SelfDeadlock):
        lock.acquire(timeout=5)
    assert lock.try_acquire() is False

    assert [row.name for row in held.mine(arena)] == ["tested[4]"]
    reports = reported.reports(arena)
    assert [report.kind for report in reports] == ["self_deadlock"] * 2
    assert reports[0].held_site[1] < reports[0].wanted_site[1]
    lock.release()
    assert lock.holder() is None


def test_releasing_what_another_holds_is_an_error_and_changes_nothing(lock, mode, arena, actors):
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")

    with pytest.raises(NotOwner):
        lock.release()

    assert lock.holder()[3] == "keeper"
    assert [report.kind for report in reported.reports(arena)] == ["contract"]
    assert reported.reports(arena)[0].wanted_lock == lock.offset
    actor.tell("release")
    actor.end()


def test_releasing_a_free_lock_is_an_error(lock):
    with pytest.raises(NotOwner):
        lock.release()

    assert lock.acquire(timeout=0)


# --- who holds it


def test_the_holder_has_a_seat_a_thread_a_role_a_line_and_a_time(lock, mode, arena, actors):
    actor = actors.actor(holder_of(lock), mode)
    actor.expect("holding")
    line = inspect.getsourcelines(holder_of)[1] + 5

    seat, pid, tid, role, (file, at, function), since = lock.holder()

    (stack,) = held.all_held(arena)
    assert (stack.seat, stack.name, stack.lock, stack.site) == (
        seat,
        lock.name,
        lock.offset,
        (file, at, function),
    )
    assert held.held_by(arena, seat) == [stack]
    assert held.mine(arena) == []
    row = Roster(arena).row(seat)
    assert (row.pid, row.tid, row.role) == (pid, tid, role)
    assert role == "keeper"
    assert pid == (actor.pid or os.getpid())
    assert tid != threading.get_native_id()
    assert __file__.endswith(file[-100:])
    assert (at, function) == (line, "holder_of.<locals>.body")
    assert 0 <= arena.native.now() - since < LIMIT_S * 1e9
    actor.tell("release")
    actor.end()
    assert lock.holder() is None


def test_locks_need_not_be_released_in_reverse_order(lock, arena):
    one, three = arena.mutex("one"), arena.rwlock("three")
    one.acquire()
    lock.acquire()
    three.read()
    assert [row.name for row in held.mine(arena)] == ["one[0]", "tested[4]", "three[0]"]

    lock.release()
    assert [(row.name, row.kind) for row in held.mine(arena)] == [("one[0]", "mutex"), ("three[0]", "read")]
    lock.acquire()
    one.release()
    assert [row.name for row in held.mine(arena)] == ["three[0]", "tested[4]"]
    three.release()
    lock.release()

    assert held.mine(arena) == held.all_held(arena) == []
    arena.native.require_nothing_held()


def test_the_same_name_and_number_is_the_same_lock_in_every_process(lock, arena, actors):
    def other(me):
        arena._locks.clear()
        again = getattr(arena, type(lock).__name__.lower())("tested", instance=4)
        other_number = getattr(arena, type(lock).__name__.lower())("tested", instance=5)
        assert again is not lock
        assert again.offset == lock.offset != other_number.offset
        assert again.try_acquire() is False
        assert other_number.try_acquire() is True
        other_number.release()

    with lock:
        actors.actor(other).end()


# --- death


def test_the_next_holder_is_told_of_the_death_and_may_repair(lock, arena, actors):
    actor = actors.actor(holder_of(lock))
    actor.expect("holding")
    actor.kill()

    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT_S)

    assert lock.held()
    assert lock.holder()[3] == "test"
    assert [report.kind for report in reported.reports(arena)] == ["owner_died"]
    lock.recover()
    lock.release()
    with lock:
        assert lock.held()


def test_a_lock_that_was_not_repaired_is_broken_for_ever(lock, actors):
    actor = actors.actor(holder_of(lock))
    actor.expect("holding")
    actor.kill()
    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT_S)

    lock.release()

    for _ in range(2):
        with pytest.raises(LockBroken):
            lock.acquire(timeout=LIMIT_S)
        assert not lock.held()


def test_with_gives_up_what_it_cannot_repair(lock, arena, actors):
    actor = actors.actor(holder_of(lock))
    actor.expect("holding")
    actor.kill()

    with pytest.raises(OwnerDied), lock:
        pytest.fail("the body must not run on suspect data")

    assert held.mine(arena) == []
    with pytest.raises(LockBroken), lock:
        pytest.fail("the body must not run without the lock")


def test_a_waiter_learns_of_the_death_while_it_waits(lock, mode, arena, actors):
    def waiter(me):
        with pytest.raises(OwnerDied):
            lock.acquire(timeout=LIMIT_S)
        lock.recover()
        lock.release()

    keeper = actors.actor(holder_of(lock))
    keeper.expect("holding")
    waiting = actors.actor(waiter, mode)
    wait_until(lambda: is_waiting(arena), "the waiter")
    keeper.kill()
    waiting.end()

    assert lock.acquire(timeout=0) is True


def test_a_thread_that_ends_inside_is_a_dead_holder(lock, actors):
    actor = actors.actor(lambda _me: lock.acquire(), "thread")
    actor.end()

    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT_S)

    lock.recover()
    lock.release()


# --- fork


def in_child_nothing_is_held(lock, seat):
    def child(me):
        assert lock.home.native.seat() == 0
        assert not lock.held()
        assert held.mine(lock.home) == []
        assert lock.try_acquire() is False
        with pytest.raises(NotOwner):
            lock.release()
        assert lock.acquire(timeout=0.05) is False
        assert lock.home.native.seat() != seat
        me.say("checked")
        lock.acquire(timeout=LIMIT_S)
        lock.release()

    return child


@pytest.mark.parametrize("from_thread", [False, True], ids=["from main", "from a thread"])
def test_a_child_of_fork_does_not_hold_its_parents_locks(lock, arena, actors, from_thread):
    def parent():
        with lock:
            child = actors.actor(in_child_nothing_is_held(lock, arena.native.seat()))
            child.expect("checked")
            assert lock.held()
            assert [row.name for row in held.mine(arena)] == ["tested[4]"]
        child.end()
        done.append(True)

    done: list[bool] = []
    if from_thread:
        thread = threading.Thread(target=parent)
        thread.start()
        thread.join(LIMIT_S)
    else:
        parent()

    assert done
    assert lock.acquire(timeout=0)
