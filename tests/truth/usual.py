"""Healthy: what programs with threads, forks, handlers and gates usually do."""

import os
import signal
import threading
import time

from tests.truth.program import program
from tests.truth.world import C, spin


@program(None)
def fork_while_holding(w):
    """The child does not have its parent's lock; it waits for it and gets it."""
    m = w.a.mutex("m")

    def parent():
        with m:

            def child():
                with m:
                    pass

            w.go(child, name="child")
            w.waits("child")
            time.sleep(0.5)
        w.join()

    w.go(parent, name="parent")
    w.join()


@program(None)
def reads_within_a_read(w):
    lock = w.a.rwlock("l")

    def reader():
        for _ in range(50):
            lock.read()
            lock.read(pass_writers=True)
            time.sleep(0.002)
            lock.release()
            lock.release()

    def writer():
        for _ in range(20):
            with lock:
                time.sleep(0.002)

    w.go(reader, name="r1")
    w.go(reader, name="r2")
    w.go(writer, name="w1")
    w.join()


@program(None)
def host_that_only_joins(w):
    """The process's first thread joins; its workers sleep in turns and wake each other."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def process():
        def ping(mine, theirs):
            for _ in range(30):
                with m:
                    channel.wait(m, "turn", (w.cell, "count", mine))
                    time.sleep(0.01)
                    w.cell.count = theirs
                    channel.wakeup()
            w.a.native.leave()

        threads = [threading.Thread(target=ping, args=pair) for pair in ((0, 1), (1, 0))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    w.go(process, name="host")
    w.join()


@program(None)
def host_that_joins_by_our_wait(w):
    """JOINING is a wait for the end of a thread that works and ends."""
    numbers: dict[str, int] = {}

    def process():
        def work():
            w.a.native.sit("worker")
            numbers["worker"] = w.a.native.seat()
            w.open("sits")
            time.sleep(1.5)
            w.a.native.leave()

        thread = threading.Thread(target=work)
        thread.start()
        w.at("sits")
        w.a.native.set_activity(C["JOINING"], numbers["worker"])
        thread.join()
        w.a.native.set_activity(C["RUNNING"])

    w.go(process, name="host")
    w.join()


@program(None)
def parked_workers(w):
    """They stand at a gate of the harness while one finishes its work."""

    def parked():
        w.a.native.set_activity(C["PARKED"])
        w.at("over")
        w.a.native.set_activity(C["RUNNING"])

    def last():
        time.sleep(1.5)
        w.open("over")

    for i in range(3):
        w.go(parked, name=f"parked{i}")
    w.go(last, name="last")
    w.join()


@program(None)
def handler_waits_during_a_wait(w):
    """A signal handler takes a contended lock while its thread waits for another; both come in the end."""
    m, log = w.a.mutex("m"), w.a.mutex("log", may_sleep=True)

    def handler(*_):
        w.open("in the handler")
        with log:
            pass
        w.open("handled")

    def holder():
        with m:
            w.meet("holds", "handled")

    def waiter():
        signal.signal(signal.SIGUSR1, handler)
        with m:
            pass

    def logger():
        with log:
            w.open("logging")
            w.at("in the handler")
            time.sleep(0.7)

    w.go(holder, name="holder")
    w.at("holds")
    w.go(logger, name="logger")
    w.at("logging")
    pid = w.go(waiter, name="waiter")
    w.waits("waiter")
    os.kill(pid, signal.SIGUSR1)
    w.join()


@program(None)
def the_lock_goes_round(w):
    """Three locks in one order, each held nearly all the time, each wait short."""
    locks = [w.a.mutex("ring", i, nest=True) for i in range(3)]

    def work(i):
        first, second = sorted((i, (i + 1) % 3))
        for _ in range(300):
            with locks[first], locks[second]:
                pass

    for i in range(3):
        w.go(work, i, name=f"w{i}", op="x")
    w.join()


@program(None)
def more_threads_than_processors(w):
    """Eight busy threads of four processes on one lock; every wait is short, the machine is not fast."""
    m = w.a.mutex("m")

    def process():
        def work():
            for _ in range(60):
                with w.step("work"), m:
                    spin(0.001)
            w.a.native.leave()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for i in range(4):
        w.go(process, name=f"p{i}")
    w.join()


@program(None)
def names_that_are_no_text(w):
    """Names cut in the middle of a character, in every place that has one, and a healthy program."""
    long = "é" * 100
    m, guard, channel = w.a.mutex("ж" * 11), w.a.mutex("guard"), w.a.channel("ы" * 11)

    def consumer():
        with w.step("x" + long), guard:
            channel.wait(guard, "x" + long, (w.cell, "count", 1))

    def producer():
        w.a.native.begin(long)
        with m:
            time.sleep(0.5)
        with guard:
            w.cell.count = 1
            channel.wakeup()
        w.a.native.end()

    w.go(consumer, name="x" + long)
    w.go(producer, name=long)
    w.join()
