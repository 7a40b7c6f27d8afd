"""Waits that last: behind a holder that does something else, or nothing, or too much.

The limits are short here; what counts is that a wait is told by its own length, whatever others do
and whether or not steps are declared, and that a holder that completes things is only reported.
"""

import os
import queue
import subprocess
import threading
import time

from tests.truth.program import program
from tests.truth.world import World, spin, stay


def hold_for_good(w: World, lock, name: str = "holder", op: str = "", how=stay, take=None) -> None:
    def body():
        (take or lock.acquire)()
        w.open(f"{name} holds")
        how()

    w.go(body, name=name, op=op)
    w.at(f"{name} holds")


@program("stall", names=("m[0]", "holder"), stall_s=2, quick=True)
def holder_sleeps_for_good(w):
    m = w.a.mutex("m")
    hold_for_good(w, m, op="hold")
    w.go(m.acquire, name="waiter", op="want")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def without_any_step(w):
    m = w.a.mutex("m")
    hold_for_good(w, m)
    w.go(m.acquire, name="waiter")


@program("stall", names=("m[0]", "holder"), stall_s=2, quick=True)
def beside_a_heartbeat(w):
    """Steps of others are no progress of this wait."""
    m = w.a.mutex("m")

    def beat():
        while True:
            with w.step("beat"):
                pass
            time.sleep(0.02)

    w.go(beat, name="beat")
    hold_for_good(w, m)
    w.go(m.acquire, name="waiter", op="want")


@program("stall", names=("m[0]", "3"), count=3, stall_s=2)
def three_wait(w):
    m = w.a.mutex("m")
    hold_for_good(w, m)
    for i in range(3):
        w.go(m.acquire, name=f"waiter{i}")


@program("stall", names=("l[0]", "holder"), stall_s=2)
def readers_behind_a_sleeping_writer(w):
    lock = w.a.rwlock("l")
    hold_for_good(w, lock, take=lock.write)
    w.go(lock.read, name="reader")


@program("stall", names=("l[0]", "holder"), stall_s=2)
def writer_behind_a_sleeping_reader(w):
    lock = w.a.rwlock("l")
    hold_for_good(w, lock, take=lock.read)
    w.go(lock.write, name="writer")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def polled_try_lock(w):
    """A polled try-lock is a wait, too, and no livelock."""
    m = w.a.mutex("m")
    hold_for_good(w, m)

    def poller():
        while not m.try_acquire():
            time.sleep(0.02)

    w.go(poller, name="poller", op="poll")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def polled_with_a_time_limit(w):
    """Timed waits for one lock, one after the other, whose holder never lets go."""
    m = w.a.mutex("m")
    hold_for_good(w, m)

    def poller():
        while not m.acquire(timeout=0.3):
            pass

    w.go(poller, name="poller")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def holder_runs_and_completes_nothing(w):
    """State R, no step ends: a busy loop."""
    m = w.a.mutex("m")

    def loop():
        while True:
            spin(1.0)

    hold_for_good(w, m, op="loop", how=loop)
    w.go(m.acquire, name="waiter")


@program("stall", names=("m[0]",), stall_s=2)
def join_outside_of_our_locks(w):
    """A deadlock through Thread.join: nothing proves it, and the wait is told."""
    m = w.a.mutex("m")

    def process():
        m.acquire()
        thread = threading.Thread(target=m.acquire, daemon=True)
        thread.start()
        thread.join()

    w.go(process, name="process")


@program("stall", names=("m[0]",), stall_s=2)
def holder_waits_for_its_child(w):
    m = w.a.mutex("m")

    def parent():
        m.acquire()
        child = w.go(m.acquire, name="child")
        os.waitpid(child, 0)

    w.go(parent, name="parent")


@program("stall", names=("m[0]", "reader"), stall_s=2)
def deadlock_through_a_pipe(w):
    """The holder reads what the waiter would write."""
    m = w.a.mutex("m")
    out, into = os.pipe()

    def reader():
        m.acquire()
        w.open("reads")
        os.read(out, 1)

    def writer():
        w.at("reads")
        m.acquire()
        os.write(into, b"x")

    w.go(reader, name="reader")
    w.go(writer, name="writer")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def holder_in_a_call_of_another_program(w):
    m = w.a.mutex("m")
    hold_for_good(w, m, how=lambda: subprocess.run(["/bin/sleep", "600"], check=False))
    w.go(m.acquire, name="waiter")


@program("stall", names=("m[0]", "holder"), stall_s=2)
def io_that_never_ends(w):
    m = w.a.mutex("m", may_sleep=True)

    def io():
        w.a.native.io_begin("fsync")
        stay()

    hold_for_good(w, m, how=io)
    w.go(m.acquire, name="waiter")


@program("stall", stall_s=2)
def word_that_never_changes(w):
    """A sleeper on a channel; its producer reads a socket and never comes back."""
    m, channel = w.a.mutex("m"), w.a.channel("c")
    out, _into = os.pipe()
    w.go(lambda: os.read(out, 1), name="producer")
    w.consumer(m, channel)


@program("stall", names=("m[0]",), stall_s=2)
def holder_waits_for_a_queue_outside(w):
    m = w.a.mutex("m")

    def process():
        box: queue.Queue[int] = queue.Queue()

        def holder():
            m.acquire()
            w.open("holds")
            box.get()

        threading.Thread(target=holder, daemon=True).start()
        w.at("holds")
        with m:
            box.put(1)

    w.go(process, name="process")


@program("stall", notice_only=True, names=("m[0]", "holder"), stall_s=1.5)
def holder_that_completes_parts(w):
    """Reported, and the run goes on: it gets through one part after the other, and lets go in the end."""
    m, part = w.a.mutex("m"), w.a.mutex("part")

    def holder():
        with m:
            w.open("holds")
            end = time.monotonic() + 5.0
            while time.monotonic() < end:
                with part:
                    spin(0.02)

    def waiter():
        m.acquire()
        m.release()

    w.go(holder, name="holder")
    w.at("holds")
    w.go(waiter, name="waiter")
    w.join()


@program("livelock", also=("order_violation", "stall"), stall_s=3, livelock_s=3)
def both_sides_retry_for_ever(w):
    """AB-BA of timed waits that form the same round again and again."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, mine, theirs):
        first.acquire()
        w.meet(mine, theirs)
        while not second.acquire(timeout=0.3):
            pass

    w.go(side, x, y, "a", "b", name="a")
    w.go(side, y, x, "b", "a", name="b")


@program("livelock", names=("looper",), stall_s=300, livelock_s=2, quick=True)
def restarts_that_never_end(w):
    """The declared restarts of one step go on growing; it never completes it."""

    def looper():
        with w.step("collapse"):
            while True:
                w.a.native.failure()
                time.sleep(0.002)

    w.go(looper, name="looper")


@program("livelock", count=2, stall_s=300, livelock_s=2)
def two_threads_make_each_other_fail(w):
    """Each takes its lock, finds the other's taken, starts again: declared restarts on both sides."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, turn, other):
        with w.step("both"):
            while True:
                first.acquire()
                w.open(turn)
                w.at(other)
                taken = second.try_acquire()
                first.release()
                if taken:
                    second.release()
                w.a.native.failure()
                time.sleep(0.002)

    w.go(side, x, y, "a", "b", name="a")
    w.go(side, y, x, "b", "a", name="b")


@program("livelock", stall_s=300, livelock_s=2)
def restarts_beside_a_heartbeat(w):
    def beat():
        while True:
            with w.step("beat"):
                pass
            time.sleep(0.02)

    def looper():
        with w.step("collapse"):
            while True:
                w.a.native.failure()
                time.sleep(0.002)

    w.go(beat, name="beat")
    w.go(looper, name="looper")


@program("livelock", names=("looper",), stall_s=300, livelock_s=2)
def restarts_beside_a_poll(w):
    """It restarts without end, and polls a lock that another thread keeps: that excuses the polls only."""
    m = w.a.mutex("m")
    hold_for_good(w, m)

    def looper():
        with w.step("collapse"):
            while not m.try_acquire():
                w.a.native.failure()
                time.sleep(0.002)

    w.go(looper, name="looper")


@program("livelock", names=("looper",), stall_s=300, livelock_s=2)
def spins_on_two_locks_for_good(w):
    """No one lock is polled for long, and it gets none of them."""
    locks = [w.a.mutex("m", number) for number in range(2)]
    for lock in locks:
        hold_for_good(w, lock)

    def looper():
        with w.step("take either"):
            while not any(lock.try_acquire() for lock in locks):
                pass

    w.go(looper, name="looper")


@program("stall", names=("upgrader", "held by insists"), stall_s=2)
def upgrader_behind_one_that_asks_again_and_again(w):
    """Of two upgraders the second is refused; it keeps its reading, for which the first waits."""
    shared = w.a.rwlock("map")

    def upgrades():
        shared.read()
        w.at("reads")
        w.open("upgrades")
        shared.upgrade()

    def insists():
        shared.read()
        w.open("reads")
        w.at("upgrades")
        while not shared.upgrade():
            time.sleep(0.01)

    w.go(upgrades, name="upgrader")
    w.go(insists, name="insists")


@program("livelock", names=("both sides retry", "spinner"), livelock_s=2)
def spins_with_the_lock_that_the_other_wants(w):
    """It keeps x and tries y without end; who has y waits for x."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def spinner():
        with w.step("push"), x:
            w.open("x")
            w.at("y")
            while not y.try_acquire():
                pass

    def waiter():
        with w.step("fault"), y:
            w.open("y")
            w.at("x")
            x.acquire()

    w.go(spinner, name="spinner")
    w.go(waiter, name="waiter")
