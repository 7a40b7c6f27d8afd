"""Tries that fail with a lock kept: for good, since none is got, or each gives back what the other wants.

Those that get through stand in healthy.py.
"""

import itertools

from tests.truth.program import program
from tests.truth.world import spin, stay


@program("livelock", count=2, stall_s=300, livelock_s=2)
def two_threads_that_keep_a_lock_make_each_other_fail(w):
    """Nothing is declared, each keeps one more lock all the time, and no try of either succeeds."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, mine, theirs):
        with w.step("both"), w.a.mutex("kept", ord(mine)):
            for turn in itertools.count():
                with first:
                    w.meet(f"{mine} has {turn}", f"{theirs} has {turn}")
                    assert not second.try_acquire()
                    w.meet(f"{mine} tried {turn}", f"{theirs} tried {turn}")

    w.go(side, x, y, "a", "b", name="a")
    w.go(side, y, x, "b", "a", name="b")


@program("livelock", stall_s=300, livelock_s=2)
def spinner_that_keeps_a_lock_and_never_gets_through(w):
    """It tries two in turn that others keep, and takes a third one between the tries."""
    locks, counted = [w.a.mutex("m", number) for number in range(2)], w.a.mutex("counted")

    def keeper(lock, gate):
        with lock:
            w.open(gate)
            stay()

    def work():
        with w.a.mutex("kept"):
            while True:
                for lock in locks:
                    assert not lock.try_acquire()
                    with counted:
                        spin(0.001)

    for number, lock in enumerate(locks):
        w.go(keeper, lock, f"keeps {number}", name=f"keeper#{number}")
        w.at(f"keeps {number}")
    w.go(work, name="spinner", op="spin")
