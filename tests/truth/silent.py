"""Deaths of which nothing may be said, or not a second time: repaired at once, or with nothing in doubt."""

import os
import threading
import time

from tests.truth.orphans import holder, repair
from tests.truth.program import program
from tests.truth.world import stay


@program(None, notices=("orphaned_lock",), quick=True)
def killed_and_repaired_at_once(w):
    """It may be noticed, once and truly; it ends no run, and is not told again after the repair."""
    m = w.a.mutex("m")
    pid = holder(w, m)

    def body():
        repair(m.acquire, m)
        m.release()
        for _ in range(50):
            with m:
                time.sleep(0.005)

    w.go(body, name="next")
    w.waits("next")
    w.kill(pid)
    w.join()


@program(None, notices=("orphaned_lock",))
def ended_thread_and_repaired_at_once(w):
    m = w.a.mutex("m")

    def process():
        thread = threading.Thread(target=m.acquire)
        thread.start()
        thread.join()
        repair(m.acquire, m)
        m.release()
        for _ in range(50):
            with m:
                time.sleep(0.005)

    w.go(process, name="process")
    w.join()


@program(None, notices=("orphaned_lock",))
def repaired_rwlock_stays_good(w):
    """After the repair: contention longer than a slice, readers and writers, and no second word."""
    lock = w.a.rwlock("l")
    pid = holder(w, lock, take=lock.write)

    def body():
        repair(lock.write, lock)
        w.open("repaired")
        w.waits("reader")
        time.sleep(0.3)  # more than a slice of the waiter
        lock.release()
        for _ in range(20):
            with lock:
                time.sleep(0.005)

    def reader():
        w.at("repaired")
        for _ in range(20):
            lock.read()
            time.sleep(0.005)
            lock.release()

    w.go(body, name="next")
    w.waits("next")
    w.kill(pid)
    w.go(reader, name="reader")
    w.join()


@program(None)
def killed_waiter(w):
    m = w.a.mutex("m")

    def slow():
        with m:
            w.meet("holds", "killed")
            time.sleep(0.3)

    w.go(slow, name="slow")
    w.at("holds")
    pid = w.go(m.acquire, name="waiter")
    w.waits("waiter")
    w.kill(pid)
    w.open("killed")
    w.join()


@program(None, quick=True)
def killed_reader_and_a_writer(w):
    """A dead reader is not there: the writer simply goes on."""
    lock = w.a.rwlock("l")
    pid = holder(w, lock, take=lock.read)

    def writer():
        lock.write()
        lock.release()

    w.go(writer, name="writer")
    w.waits("writer")
    w.kill(pid)
    w.join()


@program(None)
def reader_execs_and_a_writer_goes_on(w):
    lock = w.a.rwlock("l")

    def reader():
        lock.read()
        w.open("reads")
        w.waits("writer")
        os.execv("/bin/sleep", ["sleep", "2"])

    def writer():
        lock.write()
        lock.release()

    w.go(reader, name="reader")
    w.at("reads")
    w.go(writer, name="writer")
    w.join()


@program(None)
def killed_writer_that_still_waited(w):
    """It never came in: nothing is in doubt."""
    lock = w.a.rwlock("l")

    def reader():
        lock.read()
        w.meet("reads", "killed")
        lock.release()

    def next_writer():
        lock.write()
        lock.release()

    w.go(reader, name="reader")
    w.at("reads")
    pid = w.go(lock.write, name="writer")
    w.waits("writer")
    w.go(next_writer, name="next")
    w.waits("next")
    w.kill(pid)
    w.open("killed")
    w.join()


@program(None)
def killed_upgrader_that_still_waited(w):
    lock = w.a.rwlock("l")

    def reader():
        lock.read()
        w.meet("reads", "killed")
        lock.release()

    def upgrader():
        lock.read()
        w.open("wants")
        lock.upgrade()

    def writer():
        lock.write()
        lock.release()

    w.go(reader, name="reader")
    w.at("reads")
    pid = w.go(upgrader, name="upgrader")
    w.at("wants")
    w.waits("upgrader")
    w.go(writer, name="writer")
    w.waits("writer")
    w.kill(pid)
    w.open("killed")
    w.join()


@program(None)
def killed_sleeper(w):
    """Another one sleeps on the same channel and is woken as usual."""
    m, channel = w.a.mutex("m"), w.a.channel("c")
    pid = w.consumer(m, channel, name="first")
    w.waits("first")
    w.consumer(m, channel, name="second")
    w.waits("second")
    w.kill(pid)
    with m:
        w.cell.count = 1
        channel.wakeup()
    w.a.native.leave()
    w.join()


@program(None)
def killed_between_two_locks(w):
    """It held nothing at its death."""
    m = w.a.mutex("m")

    def body():
        for _ in range(10):
            with m:
                pass
        w.open("done")
        stay()

    def other():
        for _ in range(10):
            with m:
                pass

    pid = w.go(body, name="body")
    w.at("done")
    w.kill(pid)
    w.go(other, name="other")
    w.join()
