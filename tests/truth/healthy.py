"""Healthy: holders that take long, polls, retries that get through, and everything that looks like a hang."""

import queue
import threading
import time

from tests.truth.program import program
from tests.truth.world import World, nothing, spin


def held(w: World, lock, hold, waiters: int = 1, op: str = "") -> None:
    """One holds the lock while ``hold()`` lasts, others wait for it."""

    def holder():
        with lock:
            w.open("holds")
            hold()

    def waiter():
        with lock:
            pass

    w.go(holder, name="holder", op=op)
    w.at("holds")
    for i in range(waiters):
        w.go(waiter, name=f"waiter{i}", op=op)
    w.join()


@program(None)
def slow_holder(w):
    held(w, w.a.mutex("m"), lambda: time.sleep(2.5), op="slow")


@program(None)
def slow_holder_in_a_c_call(w):
    """It keeps the interpreter's lock all the while."""
    held(w, w.a.mutex("m"), lambda: sum(range(3 * 10**7)), waiters=3, op="compute")


@program(None)
def slow_writer_before_readers_and_writers(w):
    held(w, w.a.rwlock("l"), lambda: time.sleep(2.0), waiters=3)


@program(None)
def io_marked_holder(w):
    m = w.a.mutex("m", may_sleep=True)

    def fsync():
        w.a.native.io_begin("fsync")
        time.sleep(2.2)
        w.a.native.io_end()

    held(w, m, fsync)


@program(None, notices=("stall",), stall_s=2.0)
def holder_that_works_beyond_the_stall_limit(w):
    """It takes and gives other locks meanwhile: reported, and not ended."""
    part = w.a.mutex("part")

    def work():
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            with part:
                spin(0.02)

    held(w, w.a.mutex("m"), work)


@program(None)
def holder_waits_outside(w):
    """The holder waits in queue.get for the main thread's late item."""
    m = w.a.mutex("m")

    def process():
        box: queue.Queue[int] = queue.Queue()

        def holder():
            with m:
                w.open("holds")
                box.get()

        thread = threading.Thread(target=holder)
        thread.start()
        time.sleep(2.0)
        box.put(1)
        thread.join()

    def waiter():
        with m:
            pass

    w.go(process, name="process")
    w.at("holds")
    w.go(waiter, name="waiter")
    w.join()


@program(None)
def round_that_a_time_limit_opens(w):
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def impatient():
        with x:
            w.meet("x", "y")
            if y.acquire(timeout=1.2):
                y.release()

    def patient():
        with y:
            w.meet("y", "x")
            with x:
                pass

    w.go(impatient, name="impatient", op="a")
    w.go(patient, name="patient", op="b")
    w.join()


@program(None, also=("order_violation",))
def queued_writer_that_gives_up(w):
    """Nothing hangs; that both orders are taken is true, and may hang with a writer that stays."""
    lock, m = w.a.rwlock("l"), w.a.mutex("m")

    def reader():
        lock.read()
        w.meet("reads", "queued")
        with m:
            pass
        lock.release()

    def writer():
        w.at("reads")
        if lock.write(timeout=1.0):
            lock.release()

    def holder():
        with m:
            w.meet("holds", "queued")
            lock.read()
            lock.release()

    w.go(reader, name="reader")
    w.at("reads")
    w.go(holder, name="holder")
    w.at("holds")
    w.go(writer, name="writer")
    w.waits("writer")
    w.open("queued")
    w.join()


@program(None, livelock_s=2.0)
def timed_round_that_gets_through(w):
    """Both back off and try again; each gets through in the end."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, rest):
        for _ in range(8):
            while True:
                first.acquire()
                if second.acquire(timeout=0.05):
                    break
                first.release()
                time.sleep(rest)
            second.release()
            first.release()

    w.go(side, x, y, 0.02, name="a")
    w.go(side, y, x, 0.11, name="b")
    w.join()


@program(None, livelock_s=2.0)
def hot_mutex_in_one_long_step(w):
    """Three processes share a mutex in one step of 5 s each: the retry after a spin is no failure."""
    m = w.a.mutex("hot")

    def work():
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            with m:
                pass
            for _ in range(50):
                pass

    for i in range(3):
        w.go(work, name=f"w{i}", op="batch")
    w.join()


@program(None, livelock_s=2.0, quick=True)
def polite_poller(w):
    """It tries a lock that is held for 5 s, fifty times a second, in one step."""
    m = w.a.mutex("m")

    def holder():
        with m:
            w.open("holds")
            time.sleep(5.0)

    def poller():
        while not m.try_acquire():
            time.sleep(0.02)
        m.release()

    w.go(holder, name="holder", op="backup")
    w.at("holds")
    w.go(poller, name="poller", op="poll")
    w.join()


@program(None, livelock_s=2.0)
def poller_that_works_on_in_its_step(w):
    """Hundreds of polls in one step, and the lock in the end; then a failure now and then."""
    m = w.a.mutex("m")

    def holder():
        with m:
            w.open("holds")
            time.sleep(3.0)

    def poller():
        while not m.try_acquire():
            time.sleep(0.002)
        m.release()
        for _ in range(30):
            w.a.native.failure()
            time.sleep(0.1)

    w.go(holder, name="holder")
    w.at("holds")
    w.go(poller, name="poller", op="poll")
    w.join()


@program(None, livelock_s=2.0, stall_s=30)
def restarts_that_get_through(w):
    """Two hundred restarts in a step, and then its end; again and again for longer than the limit."""

    def work():
        for _ in range(6):
            with w.step("collapse"):
                for _ in range(200):
                    w.a.native.failure()
                    time.sleep(0.003)

    w.go(work, name="w")
    w.join()


@program(None)
def upgrades_that_back_off(w):
    lock = w.a.rwlock("l")

    def work():
        for _ in range(200):
            lock.read()
            lock.upgrade()
            lock.release()

    w.go(work, name="one", op="u")
    w.go(work, name="two", op="u")
    w.join()


@program(None, livelock_s=2.0, stall_s=30)
def spinners_that_get_through_now_and_then(w):
    """Three spin on one lock in one step each, and get it at times: then what they failed was a wait."""
    m = w.a.mutex("m")

    def work():
        end = time.monotonic() + 20.0
        while time.monotonic() < end:
            while not m.try_acquire():
                pass
            spin(0.002)
            m.release()

    for number in range(3):
        w.go(work, name=f"spinner#{number}", op="spin")
    w.join()


@program(None, livelock_s=2.0, stall_s=30)
def short_waits_that_get_through_now_and_then(w):
    """The same with waits of a millisecond."""
    m = w.a.mutex("m")

    def work():
        end = time.monotonic() + 20.0
        while time.monotonic() < end:
            while not m.acquire(timeout=0.001):
                pass
            time.sleep(0.02)
            m.release()

    for number in range(3):
        w.go(work, name=f"waiter#{number}", op="take")
    w.join()


@program(None, livelock_s=2.0, stall_s=30)
def spinners_on_two_locks_that_get_through(w):
    """Trying two in turn, so that no one lock is polled for long; it gets one of them at times."""
    spin_over_two(w, keeps=False)


@program(None, livelock_s=2.0, stall_s=30)
def spinner_that_keeps_a_lock_and_gets_through(w):
    """The same with a third lock kept all the while: no thread wants that one."""
    spin_over_two(w, keeps=True)


def spin_over_two(w, keeps):
    locks, kept = [w.a.mutex("m", number) for number in range(2)], w.a.mutex("kept")

    def keeper():
        end = time.monotonic() + 20.0
        while time.monotonic() < end:
            for lock in locks:
                with lock:
                    time.sleep(0.03)
            time.sleep(0.03)  # free, in every round

    def work():
        end = time.monotonic() + 19.0
        with kept if keeps else nothing():
            while time.monotonic() < end:
                for lock in locks:
                    if lock.try_acquire():
                        lock.release()

    for number in range(2):
        w.go(keeper, name=f"keeper#{number}")
    w.go(work, name="spinner", op="spin")
    w.join()


@program(None)
def upgrader_behind_a_slow_reader(w):
    """It waits for the others' readings; its own is in its way no more than it was in theirs."""
    lock = w.a.rwlock("l")

    def reads():
        lock.read()
        w.open("reads")
        time.sleep(1.5)
        lock.release()

    def upgrades():
        lock.read()
        w.at("reads")
        lock.upgrade()
        lock.release()

    w.go(reads, name="reader", op="read")
    w.go(upgrades, name="upgrader", op="upgrade")
    w.join()
