"""Healthy: sleepers that something outside of the arena will wake, or that may sleep for ever."""

import contextlib
import os
import signal
import socket
import threading
import time

from tests.truth.program import program
from tests.truth.world import later


@program(None, quick=True)
def a_timer_will_wake_it(w):
    """The waker is a thread that has not touched the arena yet."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def process():
        def fire():
            with m:
                w.cell.count = 1
                channel.wakeup()

        later(1.0, fire)
        with m:
            channel.wait(m, "tick", (w.cell, "count", 1))

    w.go(process, name="process", op="tick")


@program(None, quick=True)
def a_pipe_reader_will_wake_it(w):
    """The producer reads a pipe and has no seat; the one that writes is outside of the arena's locks."""
    m, channel = w.a.mutex("m"), w.a.channel("c")
    out, into = os.pipe()

    def process():
        def consume():
            with m:
                channel.wait(m, "job", (w.cell, "count", 1))

        thread = threading.Thread(target=consume)
        thread.start()
        w.a.native.leave()
        os.read(out, 1)
        with m:
            w.cell.count = 1
            channel.wakeup()
        w.a.native.leave()
        thread.join()

    w.go(process, name="process")
    time.sleep(1.5)  # how long the next request is in coming
    os.write(into, b"x")


@program(None)
def a_socket_reader_of_another_process_will_wake_it(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")
    here, there = socket.socketpair()

    def server():
        w.a.native.leave()
        there.recv(1)
        with m:
            w.cell.count = 1
            channel.wakeup()

    w.consumer(m, channel)
    w.go(server, name="server")
    time.sleep(1.5)  # how long the next request is in coming
    here.send(b"x")
    w.join()


@program(None)
def two_sleepers_and_a_thread_that_polls(w):
    """Everyone with a seat sleeps; a thread without one looks for a file every 10 ms."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def process():
        def poll():
            w.until(lambda: w.is_open("file"), "the file")
            with m:
                w.cell.count = 1
                channel.wakeup()

        threading.Thread(target=poll).start()
        with m:
            channel.wait(m, "job", (w.cell, "count", 1))

    w.go(process, name="process")
    w.consumer(m, channel)
    w.waits("consumer")
    later(1.0, lambda: w.open("file"))
    w.join()


@program(None)
def idle_consumers(w):
    """They may stay for ever; here they are ended by a signal."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def idle():
        m.acquire()
        channel.sleep(m, "job", (w.cell, "count", 1), idle=True)

    pids = [w.go(idle, name=f"idle{i}") for i in range(3)]
    for i in range(3):
        w.waits(f"idle{i}")
    time.sleep(1.0)  # longer than any certain verdict takes
    for pid in pids:
        w.kill(pid)


@program(None, stall_s=1.0)
def idle_longer_than_the_stall_limit(w):
    """A sleeper that declared itself idle is no stall."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def idle():
        m.acquire()
        channel.sleep(m, "job", (w.cell, "count", 1), idle=True)

    pid = w.go(idle, name="idle")
    w.waits("idle")
    time.sleep(3.0)
    w.kill(pid)


@program(None)
def an_idle_service_will_wake_it(w):
    """The sleeper waits for a service that idles until the next order comes."""
    m, channel, orders = w.a.mutex("m"), w.a.channel("c"), w.a.channel("orders")

    def service():
        m.acquire()
        while not w.cell.busy:
            orders.sleep(m, "order", (w.cell, "busy", 1), idle=True)
            m.acquire()
        w.cell.count = 1
        channel.wakeup()
        m.release()

    def front():
        time.sleep(1.0)  # outside: when the next order comes
        with m:
            w.cell.busy = 1
            orders.wakeup()

    w.go(service, name="service")
    w.consumer(m, channel)
    w.go(front, name="front")
    w.join()


@program(None)
def an_idle_service_and_none_beside_it(w):
    """Only an idle sleeper and one who waits; a sleeper that idles may be woken from elsewhere."""
    m, channel, orders = w.a.mutex("m"), w.a.channel("c"), w.a.channel("orders")

    def service():
        m.acquire()
        while not w.cell.busy:
            orders.sleep(m, "order", (w.cell, "busy", 1), idle=True)
            m.acquire()
        w.cell.count = 1
        channel.wakeup()
        m.release()

    w.go(service, name="service")
    w.consumer(m, channel)
    w.waits("consumer")
    time.sleep(1.0)
    with m:
        w.cell.busy = 1
        orders.wakeup()
    w.a.native.leave()
    w.join()


@program(None)
def claim_by_a_slow_owner(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def owner():
        w.a.native.claim(w.address())
        w.open("claimed")
        time.sleep(2.0)
        with m:
            w.cell.count = 1
            w.a.native.unclaim(w.address())
            channel.wakeup()

    w.go(owner, name="owner", op="io")
    w.at("claimed")
    w.consumer(m, channel, op="get")
    w.join()


@program(None, quick=True)
def a_count_that_leaves_room_for_its_own_claim(w):
    """It waits until the count is 1, its own; the other one gives its share up."""
    m, channel = w.a.mutex("m"), w.a.channel("c")
    w.cell.count = 2

    def last():
        w.a.native.claim(w.address())
        w.open("last")
        with m:
            channel.wait(m, "drain", (w.cell, "count", 1))
        w.a.native.unclaim(w.address())

    def other():
        w.a.native.claim(w.address())
        w.at("last")
        w.waits("last")
        time.sleep(1.0)
        with m:
            w.cell.count = 1
            w.a.native.unclaim(w.address())
            channel.wakeup()

    w.go(other, name="other")
    w.go(last, name="last")
    w.join()


@program(None)
def wakeup_one_for_one_item_each(w):
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def consumer():
        for _ in range(20):
            with m:
                channel.wait(m, "item", (w.cell, "count", ">", 0))
                w.cell.count -= 1

    def producer():
        for _ in range(60):
            with m:
                w.cell.count += 1
                channel.wakeup_one()
            time.sleep(0.005)

    for i in range(3):
        w.go(consumer, name=f"consumer{i}")
    w.go(producer, name="producer")
    w.join()


@program(None)
def timed_sleeper_that_polls(w):
    """Nothing wakes it on purpose: it looks again every 400 ms."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def poller():
        with m:
            while w.cell.count != 1:
                channel.sleep(m, "poll", (w.cell, "count", 1), timeout=0.4)
                m.acquire()

    def other():
        w.waits("poller")
        time.sleep(1.0)
        with w.step("put"), m:
            w.put()

    w.go(poller, name="poller")
    w.go(other, name="other")
    w.join()


@program(None)
def a_timed_sleeper_will_wake_it(w):
    """All sleep on channels, one of them for a second only."""
    m, channel, bell = w.a.mutex("m"), w.a.channel("c"), w.a.channel("bell")

    def waker():
        w.waits("consumer")
        m.acquire()
        bell.sleep(m, "nap", (w.cell, "busy", 1), timeout=1.2)
        with m:
            w.cell.count = 1
            channel.wakeup()

    w.consumer(m, channel)
    w.go(waker, name="waker")


@program(None, stall_s=2)
def poller_that_gave_up(w):
    """It tried a lock for a moment, and does something else while the lock is held on and on."""
    m, part = w.a.mutex("m"), w.a.mutex("part")

    def holder():
        with m:
            w.meet("holds", "enough")

    def poller():
        w.at("holds")
        for _ in range(10):
            if m.try_acquire():
                raise AssertionError("a lock that is held was given")
        for _ in range(100):
            with part:
                time.sleep(0.05)
        w.open("enough")

    w.go(holder, name="holder")
    w.go(poller, name="poller")
    w.join()


@program(None)
def idle_threads_and_an_alarm_that_wakes_one(w):
    """Who idles may be woken by what nothing here shows: a signal, a process that comes later."""
    m, channel, orders = w.a.mutex("m"), w.a.channel("c"), w.a.channel("orders")
    mine, clock = w.a.mutex("mine"), w.a.channel("clock")

    def service():
        m.acquire()
        while not w.cell.busy:
            orders.sleep(m, "order", (w.cell, "busy", 1), idle=True)
            m.acquire()
        w.cell.count = 1
        channel.wakeup()
        m.release()

    def rings(*_):
        raise InterruptedError

    w.go(service, name="service")
    w.consumer(m, channel)
    w.waits("consumer")
    signal.signal(signal.SIGALRM, rings)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    with contextlib.suppress(InterruptedError):
        mine.acquire()
        clock.sleep(mine, "tick", (w.other, "count", 1), idle=True)
    with m:
        w.cell.busy = 1
        orders.wakeup()
    w.a.native.leave()
    w.join()
