"""Lost wakeups: the condition holds, or nothing can make it hold any more, and a thread sleeps on.

Where the program notes who changed the word (``put``) and that one is past it, the verdict is
certain.  Where it does not, it is reported after 5 s and a finding at the stall limit; a wait
of that length is a stall as well, and either word is true.
"""

import os
import signal
import time

from tests.truth.program import program
from tests.truth.world import World, spin, stay

LATE_S = 7.0  # above the 5 s after which an unknown waker is reported


def forgetful(w: World, guard, then=stay, name: str = "waker") -> int:
    """An actor that makes the condition true in a whole step, notes it, wakes no thread, and goes on."""

    def body():
        w.waits("sleeper")
        with w.step("put"), guard:
            w.put()
        then()

    return w.go(body, name=name)


def unnoted(w: World, guard, then=stay, name: str = "waker") -> int:
    """The same without a word about who changed it."""

    def body():
        w.waits("sleeper")
        with guard:
            w.cell.count = 1
        then()

    return w.go(body, name=name)


@program("lost_wakeup", names=("sleeper",), quick=True)
def forgotten_under_a_mutex(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.sleeper(m, channel)
    forgetful(w, m)


@program("lost_wakeup", quick=True)
def forgotten_under_a_rwlock(w):
    lock, channel = w.a.rwlock("l"), w.a.channel("c")

    def sleeper():
        lock.write()
        channel.sleep(lock, "job", (w.cell, "count", 1))

    w.go(sleeper, name="sleeper")
    forgetful(w, lock)


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def forgotten_and_not_noted_by_whom(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.sleeper(m, channel)
    unnoted(w, m)


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def forgotten_under_a_rwlock_and_not_noted(w):
    lock, channel = w.a.rwlock("l"), w.a.channel("c")

    def sleeper():
        lock.write()
        channel.sleep(lock, "job", (w.cell, "count", 1))

    w.go(sleeper, name="sleeper")
    unnoted(w, lock)


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def notified_before_it_slept(w):
    """It tests without the lock, the wakeup comes, it sleeps without a second test."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def sleeper():
        if w.cell.count != 1:
            w.meet("tested", "woken")
            m.acquire()
            channel.sleep(m, "job", (w.cell, "count", 1))

    def waker():
        w.at("tested")
        with m:
            w.cell.count = 1
            channel.wakeup()
        w.open("woken")
        stay()

    w.go(sleeper, name="sleeper")
    w.go(waker, name="waker")


@program("lost_wakeup")
def after_a_killed_sleeper(w):
    """One wakeup_one went to a thread that had been killed; nothing of it may hide the next loss."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def old():
        m.acquire()
        channel.sleep(m, "old", (w.cell, "busy", 1))

    pid = w.go(old, name="old")
    w.waits("old")
    w.kill(pid)
    w.go(channel.wakeup_one, name="early")
    w.join()
    w.sleeper(m, channel)
    forgetful(w, m)


@program("lost_wakeup")
def after_a_signal_handler_waited(w):
    m, channel, log = w.a.mutex("m"), w.a.channel("c"), w.a.mutex("log", may_sleep=True)

    def handler(*_):
        w.open("in the handler")
        with log:
            pass
        w.open("handled")

    def sleeper():
        signal.signal(signal.SIGUSR1, handler)
        m.acquire()
        channel.sleep(m, "job", (w.cell, "count", 1))

    def logger():
        with log:
            w.open("logging")
            w.at("in the handler")
            time.sleep(0.2)  # the handler's own wait

    pid = w.go(sleeper, name="sleeper")
    w.go(logger, name="logger")
    w.at("logging")
    w.waits("sleeper")
    os.kill(pid, signal.SIGUSR1)
    w.at("handled")
    forgetful(w, m)


@program("lost_wakeup")
def after_a_sleep_within_the_sleep(w):
    """A handler slept on another channel and was woken; the outer sleep is lost all the same."""
    m, channel = w.a.mutex("m"), w.a.channel("c")
    inner, bell = w.a.mutex("inner", may_sleep=True), w.a.channel("bell")

    def handler(*_):
        with inner:
            w.open("in the handler")
            bell.wait(inner, "bell", (w.other, "count", 1))
        w.open("handled")

    def sleeper():
        signal.signal(signal.SIGUSR1, handler)
        m.acquire()
        channel.sleep(m, "job", (w.cell, "count", 1))

    def ring():
        w.at("in the handler")
        with inner:
            w.other.count = 1
            bell.wakeup()

    pid = w.go(sleeper, name="sleeper")
    w.waits("sleeper")
    w.go(ring, name="ring")
    os.kill(pid, signal.SIGUSR1)
    w.at("handled")
    forgetful(w, m)


@program("lost_wakeup")
def beside_a_stopped_bystander(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.stop(w.go(stay, name="bystander"))
    w.sleeper(m, channel)
    forgetful(w, m)


@program("lost_wakeup")
def with_a_guard_that_is_always_busy(w):
    """Others hold the guard at almost every look; it changes hands, which is enough."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def busy():
        while True:
            with m:
                time.sleep(0.02)

    w.sleeper(m, channel)
    forgetful(w, m)
    w.waits("sleeper")
    w.go(busy, name="busy1")
    w.go(busy, name="busy2")


@program("lost_wakeup", names=("waker",))
def waker_killed_between_store_and_wakeup(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("sleeper")
        with m:
            w.put()
        w.open("stored")
        stay()
        channel.wakeup()

    w.sleeper(m, channel)
    pid = w.go(waker, name="waker")
    w.at("stored")
    w.kill(pid)
    stay()


@program("lost_wakeup", also=("stall",), stall_s=7.0)
def waker_waits_elsewhere(w):
    """Past the change, and now in a wait without limit for another lock."""
    m, channel, far = w.a.mutex("m"), w.a.channel("c"), w.a.mutex("far")

    def holder():
        far.acquire()
        w.open("far")
        stay()

    def waker():
        w.at("far")
        w.waits("sleeper")
        with m:
            w.put()
        far.acquire()

    w.go(holder, name="holder")
    w.sleeper(m, channel)
    w.go(waker, name="waker")


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def one_wakeup_for_two_items(w):
    """Two consumers, two items, one wakeup_one: one of the two sleeps beside its item."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def consumer():
        with m:
            channel.wait(m, "item", (w.cell, "count", ">", 0))
            w.cell.count -= 1

    def producer():
        w.waits("one")
        w.waits("two")
        with w.step("put"), m:
            w.cell.count = 2
            channel.wakeup_one()
        stay()

    w.go(consumer, name="one")
    w.go(consumer, name="two")
    w.go(producer, name="producer")


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def wakeup_on_the_wrong_channel(w):
    m, channel, wrong = w.a.mutex("m"), w.a.channel("c"), w.a.channel("wrong")

    def waker():
        w.waits("sleeper")
        with w.step("put"), m:
            w.put()
            wrong.wakeup()
        stay()

    w.sleeper(m, channel)
    w.go(waker, name="waker")


@program("lost_wakeup", names=("sleeper",), quick=True)
def no_thread_is_left_who_could_wake_it(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.sleeper(m, channel)


@program("lost_wakeup")
def two_sleepers_for_each_other(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def sleeper(field):
        with m:
            channel.wait(m, "turn", (w.cell, field, 1))

    w.go(sleeper, "count", name="one")
    w.go(sleeper, "busy", name="two")


@program("lost_wakeup")
def waker_killed_before_it_stored(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.consumer(m, channel)
    pid = w.go(stay, name="waker")
    w.waits("consumer")
    w.kill(pid)


@program("lost_wakeup", also=("stall",))
def waker_ends_without_a_word(w):
    """The thread that should have put the item ends with its program; only waits without limit are left."""
    m, channel, x = w.a.mutex("m"), w.a.channel("c"), w.a.mutex("x", may_sleep=True)

    def holding_consumer():
        x.acquire()
        w.open("holds")
        with m:
            channel.wait(m, "job", (w.cell, "count", 1))

    def behind():
        w.at("holds")
        x.acquire()

    w.go(holding_consumer, name="consumer")
    w.go(behind, name="behind")
    w.go(lambda: None, name="producer")


@program("lost_wakeup", also=("stall",), stall_s=LATE_S)
def lost_beside_a_worker_in_its_steps(w):
    """Another thread works on and has nothing to do with it."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def beat():
        while True:
            with w.step("beat"):
                spin(0.001)
            time.sleep(0.005)

    w.go(beat, name="beat")
    w.sleeper(m, channel)
    unnoted(w, m)


@program("lost_wakeup")
def waker_idles_after_its_change(w):
    """Without a step: it is past its change since it idles until the next order comes."""
    m, channel, orders = w.a.mutex("m"), w.a.channel("c"), w.a.channel("orders")

    def waker():
        w.waits("sleeper")
        m.acquire()
        w.put()
        orders.sleep(m, "order", (w.cell, "busy", 1), idle=True)

    w.sleeper(m, channel)
    w.go(waker, name="waker")
    stay()


@program("lost_wakeup")
def guard_went_to_a_thread_that_keeps_it(w):
    """The guard is never free again; it changed hands since the word was changed, which is enough."""
    m, channel = w.a.mutex("m", may_sleep=True), w.a.channel("c")

    def waker():
        w.waits("sleeper")
        with w.step("put"):
            m.acquire()
            w.put()
            w.open("changed")
            w.waits("keeper")
            time.sleep(0.6)  # some looks of the watcher see it with the guard
            m.release()
        stay()

    def keeper():
        w.at("changed")
        m.acquire()
        stay()

    w.sleeper(m, channel)
    w.go(waker, name="waker")
    w.go(keeper, name="keeper")
