"""Healthy: sleepers whose wakeup is late, comes from elsewhere, or is not needed."""

import time

from tests.truth.program import program
from tests.truth.world import World, spin


@program(None, quick=True)
def waker_sleeps_before_its_wakeup(w):
    """A log on a slow disk between store and wakeup, outside of a step: 0.8 s late."""
    waker_is_late(w, lambda: time.sleep(0.8))


@program(None)
def waker_computes_before_its_wakeup(w):
    waker_is_late(w, lambda: spin(1.0), op="put")


@program(None)
def waker_sleeps_in_its_step(w):
    """2.5 s late, in its step."""
    waker_is_late(w, lambda: time.sleep(2.5), op="put")


@program(None)
def waker_sleeps_without_a_step(w):
    waker_is_late(w, lambda: time.sleep(2.5))


@program(None)
def waker_takes_other_locks_first(w):
    """Between store and wakeup it waits, with a limit in time, for a lock that is held for a second."""
    m, channel, log = w.a.mutex("m"), w.a.channel("c"), w.a.mutex("log")

    def logger():
        with log:
            w.open("logging")
            time.sleep(1.0)

    def waker():
        w.at("logging")
        w.waits("consumer")
        with m:
            w.cell.count = 1
        with log:
            pass
        channel.wakeup()

    w.go(logger, name="logger")
    w.consumer(m, channel)
    w.go(waker, name="waker", op="put")
    w.join()


@program(None)
def noted_change_and_a_late_wakeup(w):
    """The change is noted, in a step, and the wakeup is posted 1.5 s later in the same step."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        with w.step("put"):
            with m:
                w.put()
            time.sleep(1.5)
            channel.wakeup()

    w.consumer(m, channel)
    w.go(waker, name="waker")
    w.join()


def waker_is_late(w: World, delay, op: str = "") -> None:
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        with m:
            w.cell.count = 1
        delay()
        channel.wakeup()

    w.consumer(m, channel, op="get")
    w.go(waker, name="waker", op=op)
    w.join()


@program(None)
def wakeup_in_a_later_step(w):
    """Batching: the change in step 20 of 60, the wakeup in the last."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        for i in range(60):
            with w.step("put"):
                m.acquire()
                if i == 20:
                    w.cell.count = 1
                m.release()
            time.sleep(0.02)
        with w.step("flush"):
            channel.wakeup()

    w.consumer(m, channel, op="get")
    w.go(waker, name="waker")
    w.join()


@program(None)
def condition_comes_and_goes(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        for _ in range(100):
            with m:
                w.cell.count = 1
            with m:
                w.cell.count = 0
            time.sleep(0.01)
        with m:
            w.cell.count = 1
            channel.wakeup()

    w.consumer(m, channel)
    w.go(waker, name="waker", op="flip")
    w.join()


@program(None)
def wakeups_that_say_nothing(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        for _ in range(100):
            channel.wakeup()
            time.sleep(0.01)
        with m:
            w.cell.count = 1
            channel.wakeup()

    w.consumer(m, channel)
    w.go(waker, name="waker")
    w.join()


@program(None, quick=True)
def waker_still_has_the_guard(w):
    """It noted its change and waits without limit for another lock, with the guard in hand: it will wake."""
    m, channel, log = w.a.mutex("m", may_sleep=True), w.a.channel("c"), w.a.mutex("log")

    def logger():
        with log:
            w.open("logging")
            time.sleep(1.5)

    def waker():
        w.at("logging")
        w.waits("consumer")
        with m:
            w.put()
            with log:
                pass
            channel.wakeup()

    w.go(logger, name="logger")
    w.consumer(m, channel)
    w.go(waker, name="waker")
    w.join()


@program(None)
def waker_has_a_rwlock_guard(w):
    """The same with a read/write lock as guard: who writes it is about to wake."""
    lock, channel, log = w.a.rwlock("l", may_sleep=True), w.a.channel("c"), w.a.mutex("log")

    def consumer():
        lock.write()
        while w.cell.count != 1:
            channel.sleep(lock, "job", (w.cell, "count", 1))
            lock.write()
        lock.release()

    def logger():
        with log:
            w.open("logging")
            time.sleep(1.5)

    def waker():
        w.at("logging")
        w.waits("consumer")
        lock.write()
        w.put()
        with log:
            pass
        channel.wakeup()
        lock.release()

    w.go(logger, name="logger")
    w.go(consumer, name="consumer")
    w.go(waker, name="waker")
    w.join()


@program(None)
def noted_waker_waits_for_a_lock_that_comes(w):
    """Past the guard and not past its wakeup: it waits without limit for a lock whose holder lets go."""
    m, channel, log = w.a.mutex("m"), w.a.channel("c"), w.a.mutex("log")

    def logger():
        with log:
            w.open("logging")
            time.sleep(1.5)

    def waker():
        w.at("logging")
        w.waits("consumer")
        with w.step("put"):
            with m:
                w.put()
            with log:
                pass
            channel.wakeup()

    w.go(logger, name="logger")
    w.consumer(m, channel)
    w.go(waker, name="waker")
    w.join()


@program(None, quick=True)
def another_thread_has_the_guard_and_will_wake(w):
    """The word is changed without the guard, in a step that is over; the guard's holder wakes."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def changer():
        w.at("guarded")
        with w.step("put"):
            w.put()
        w.open("changed")

    def waker():
        w.waits("consumer")
        with m:
            w.meet("guarded", "changed")
            time.sleep(1.5)
            channel.wakeup()

    w.consumer(m, channel)
    w.go(changer, name="changer")
    w.go(waker, name="waker")
    w.join()


@program("lost_wakeup", notice_only=True, names=("consumer",), stall_s=60)
def waker_that_is_seven_seconds_late(w):
    """Reported after 5 s, since nothing tells who is to wake it; and the run goes on."""
    waker_is_late(w, lambda: time.sleep(7.0))
