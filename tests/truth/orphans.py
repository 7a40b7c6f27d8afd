"""Deaths: with a lock held, while waiting, at every place where the next one must or must not be told.

A death inside a mutex or a write is told once: a finding, or a notice when it is repaired.
Who only read, waited, slept or claimed to upgrade is simply not there any more, and nothing is said.
"""

import os
import signal
import threading
import time

from harness.errors import LockBroken, OwnerDied
from tests.truth.program import program
from tests.truth.world import World, stay


def holder(w: World, lock, name: str = "holder", take=None) -> int:
    """An actor that holds a lock for good; returns when it does."""

    def body():
        (take or lock.acquire)()
        w.open(f"{name} holds")
        stay()

    pid = w.go(body, name=name)
    w.at(f"{name} holds")
    return pid


def repair(take, lock) -> None:
    """Take a lock as a careful program does."""
    try:
        take()
    except OwnerDied:
        lock.recover()


def keep_in_doubt(take) -> None:
    """Be told and do nothing about it."""
    try:
        take()
    except OwnerDied:
        stay()
    stay()


@program("orphaned_lock", names=("m[0]", "holder"), quick=True)
def killed_holder_and_one_who_waits(w):
    m = w.a.mutex("m")
    pid = holder(w, m)
    w.go(keep_in_doubt, m.acquire, name="next")
    w.waits("next")
    w.kill(pid)


@program("orphaned_lock", names=("m[0]", "holder"), notice_only=True)
def killed_holder_and_a_waiter_that_is_stopped(w):
    """The seats tell of the death first; the waiter's report tells nothing new when it goes on."""
    m = w.a.mutex("m")

    def waiter():
        repair(m.acquire, m)
        m.release()

    pid = holder(w, m)
    late = w.go(waiter, name="waiter")
    w.waits("waiter")
    os.kill(late, signal.SIGSTOP)
    w.kill(pid)
    time.sleep(0.4)
    os.kill(late, signal.SIGCONT)
    w.join()


@program("orphaned_lock", names=("m[0]", "holder", "SIGKILL"))
def killed_holder_says_how_it_ended(w):
    """It has lived for some looks of the watcher, as every worker of a real run has."""
    m = w.a.mutex("m")
    pid = holder(w, m)
    time.sleep(1.0)
    w.go(keep_in_doubt, m.acquire, name="next")
    w.waits("next")
    w.kill(pid)


@program("orphaned_lock", names=("m[0]",), notice_only=True)
def killed_holder_and_five_who_wait(w):
    """Five ask; one death is one notice, and the first one repairs."""
    m = w.a.mutex("m")
    pid = holder(w, m)

    def body():
        try:
            m.acquire()
        except OwnerDied:
            time.sleep(0.3)  # work in doubt, before it repairs
            m.recover()
        m.release()

    for i in range(5):
        w.go(body, name=f"next{i}")
        w.waits(f"next{i}")
    w.kill(pid)


@program("orphaned_lock", names=("l[0]",))
def killed_writer_and_a_reader_who_waits(w):
    lock = w.a.rwlock("l")
    pid = holder(w, lock, take=lock.write)
    w.go(keep_in_doubt, lock.read, name="next")
    w.waits("next")
    w.kill(pid)


@program("orphaned_lock", names=("l[0]",))
def killed_upgraded_reader(w):
    lock = w.a.rwlock("l")

    def take():
        lock.read()
        lock.upgrade()

    pid = holder(w, lock, take=take)
    w.go(keep_in_doubt, lock.write, name="next")
    w.waits("next")
    w.kill(pid)


@program("orphaned_lock", names=("m[0]",), at_end=True, repair_s=0.3)
def killed_holder_that_no_thread_misses(w):
    """Told at the end of the run, not before."""
    m = w.a.mutex("m")
    w.kill(holder(w, m))
    time.sleep(1.0)  # some looks of the watcher


@program("orphaned_lock", names=("m[0]",))
def ended_thread_still_holds(w):
    """A thread ends with the lock; its process goes on."""
    m = w.a.mutex("m")

    def process():
        thread = threading.Thread(target=m.acquire)
        thread.start()
        thread.join()
        keep_in_doubt(m.acquire)

    w.go(process, name="process")


@program("orphaned_lock", names=("m[0]",))
def program_ends_with_the_lock(w):
    """No signal: the process exits properly and forgets to release."""
    m = w.a.mutex("m")

    def body():
        m.acquire()
        w.open("holds")
        w.waits("next")
        os._exit(0)

    w.go(body, name="holder")
    w.at("holds")
    w.go(keep_in_doubt, m.acquire, name="next")


@program("orphaned_lock", names=("m[0]",))
def holder_execs(w):
    """The seat's thread is another program now; the kernel has marked it dead."""
    m = w.a.mutex("m")

    def body():
        m.acquire()
        w.open("holds")
        w.waits("next")
        os.execv("/bin/sleep", ["sleep", "600"])

    w.go(body, name="holder")
    w.at("holds")
    w.go(keep_in_doubt, m.acquire, name="next")


@program("orphaned_lock", names=("l[0]",))
def writer_execs(w):
    lock = w.a.rwlock("l")

    def body():
        lock.write()
        w.open("holds")
        w.waits("next")
        os.execv("/bin/sleep", ["sleep", "600"])

    w.go(body, name="holder")
    w.at("holds")
    w.go(keep_in_doubt, lock.read, name="next")


@program("orphaned_lock", count=2)
def one_dies_and_who_was_told_dies_too(w):
    """Two deaths inside one lock: at most two findings."""
    m = w.a.mutex("m")
    pid = holder(w, m)

    def told():
        try:
            m.acquire()
        except OwnerDied:
            w.open("told")
            stay()

    second = w.go(told, name="told")
    w.waits("told")
    w.kill(pid)
    w.at("told")
    w.go(keep_in_doubt, m.acquire, name="third")
    w.waits("third")
    w.kill(second)


@program("orphaned_lock", also=("contract_violation",), names=("unrepaired",))
def abandoned_lock_is_broken(w):
    """It was told, did not repair, and let go; the next one is refused."""
    m = w.a.mutex("m")
    pid = holder(w, m)

    def careless():
        try:
            m.acquire()
        except OwnerDied:
            time.sleep(0.1)  # as long as its work takes
        m.release()
        w.open("let go")

    def refused():
        w.at("let go")
        try:
            m.acquire()
        except LockBroken:
            return
        raise AssertionError("a broken lock was given")

    w.go(careless, name="careless")
    w.waits("careless")
    w.kill(pid)
    w.go(refused, name="refused")


@program("orphaned_lock", also=("lost_wakeup",))
def killed_claimer(w):
    """It said that it would change the word, and was killed."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def claimer():
        w.a.native.claim(w.address())
        w.open("claimed")
        stay()

    pid = w.go(claimer, name="claimer")
    w.at("claimed")
    w.consumer(m, channel)
    w.waits("consumer")
    w.kill(pid)
