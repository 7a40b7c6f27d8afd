"""A thread may sit in any number of arenas, and an arena stays mapped while one of its threads does."""

import gc
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import LockError
from harness.shm import Arena
from tests.harness.actors import LIMIT_S

MANY = 40


@pytest.fixture
def arenas():
    with ExitStack() as open_:
        yield [open_.enter_context(Arena.create(f"a{i}", seats=3)) for i in range(MANY)]


def test_a_thread_keeps_its_seat_and_its_locks_in_every_arena(arenas):
    locks = [arena.mutex("m") for arena in arenas]
    for lock in locks:
        lock.acquire()

    seats = [arena.native.sit(f"turn {turn}") for turn in range(5) for arena in arenas]

    assert seats == [1] * 5 * MANY
    assert all(lock.held() for lock in locks)
    for lock in locks:
        lock.release()
    assert not any(lock.locked() for lock in locks)


def test_the_end_of_a_thread_gives_all_its_seats_back(arenas):
    for _ in range(2 * 3):  # there are three seats in each
        thread = threading.Thread(target=lambda: [arena.native.sit("short") for arena in arenas])
        thread.start()
        thread.join(LIMIT_S)

    assert {arena.native.sit("test") for arena in arenas} <= {1, 2, 3}


def mapped(name: str) -> bool:
    return f"hangdog:{name}" in Path("/proc/self/maps").read_text()


def test_a_mapping_is_kept_while_its_thread_has_a_seat_and_goes_afterwards():
    arena = Arena.create("pinned", seats=3)
    lock = arena.mutex("m")
    arena.close()
    lock.acquire()
    lock.release()
    keeps = lock.arena

    del arena, lock
    gc.collect()

    assert mapped("pinned")
    keeps.leave()
    del keeps
    gc.collect()
    assert not mapped("pinned")


AFTER_CLOSE = """
import gc
from harness.shm.arena import Arena
import harness.locks
one, two = Arena.create("one", seats=4), Arena.create("two", seats=4)
n, m = two.mutex("n"), one.mutex("m")
one.close()
m.acquire()
del one, m
gc.collect()
for _ in range(3):
    with n:
        pass
three = Arena.create("three", seats=4)
with three.mutex("k"):
    print("went on")
"""


def test_a_lock_taken_after_close_and_forgotten_harms_no_other_lock():
    done = subprocess.run(
        [sys.executable, "-c", AFTER_CLOSE], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_seat_cannot_be_left_while_something_is_held(arena):
    lock, shared = arena.mutex("m"), arena.rwlock("r")
    for held in (lock, shared):
        held.acquire()
        seat = arena.native.seat()

        with pytest.raises(LockError, match="still holds locks"):
            arena.native.leave()

        assert arena.native.seat() == seat
        assert held.held()
        held.release()
    arena.native.leave()
    assert arena.native.seat() == 0
