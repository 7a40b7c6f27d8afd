"""Threads that stand: stopped, traced, uninterruptible, for a while or for good; and a watcher that stood."""

import os
import signal
import tempfile
import time

from tests.truth.program import program
from tests.truth.world import (
    PTRACE_DETACH,
    PTRACE_INTERRUPT,
    PTRACE_SEIZE,
    World,
    gone,
    ptrace,
    stay,
)  # fmt: skip


def holder_and_waiter(w: World, hold, op: str = "hold") -> int:
    """A holder that lets go when the gate ``enough`` opens, and one who waits; the holder's pid."""
    m = w.a.mutex("m")

    def holder():
        with m:
            w.open("holds")
            hold()

    def waiter():
        m.acquire()
        m.release()

    pid = w.go(holder, name="holder", op=op)
    w.at("holds")
    w.go(waiter, name="waiter")
    w.waits("waiter")
    return pid


@program("frozen", also=("stall",), names=("holder",), frozen_s=1, stall_s=3, quick=True)
def holder_stopped_for_good(w):
    w.stop(holder_and_waiter(w, stay))


@program("frozen", also=("stall",), names=("reader",), frozen_s=1, stall_s=3)
def reader_stopped_before_a_writer(w):
    lock = w.a.rwlock("l")

    def reader():
        lock.read()
        w.open("reads")
        stay()

    pid = w.go(reader, name="reader")
    w.at("reads")
    w.go(lock.write, name="writer")
    w.waits("writer")
    w.stop(pid)


@program("frozen", also=("stall",), names=("owner",), frozen_s=1, stall_s=3)
def claimer_stopped_for_good(w):
    """The one that is awaited on a channel is stopped."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def owner():
        w.a.native.claim(w.address())
        w.open("claimed")
        stay()

    pid = w.go(owner, name="owner")
    w.at("claimed")
    w.consumer(m, channel)
    w.waits("consumer")
    w.stop(pid)


@program("frozen", also=("stall",), names=("holder",), frozen_s=1, stall_s=3)
def holder_in_uninterruptible_sleep(w):
    """It spawns a program whose standard input is a FIFO without a writer: vfork's parent is in state D."""
    fifo = os.path.join(tempfile.mkdtemp(prefix="truth-"), "fifo")
    os.mkfifo(fifo)

    def spawn():
        opens = [(os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)]
        w.open("spawns")
        os.posix_spawn("/bin/true", ["true"], {}, file_actions=opens)

    holder_and_waiter(w, spawn)


@program("frozen", also=("stall",), notice_only=True, frozen_s=1, stall_s=60)
def holder_traced_for_a_while(w):
    """A debugger has it: told, and the run goes on."""
    traced(w, 3.0)


@program("frozen", notice_only=True, notices=("stall",), frozen_s=0.5, stall_s=2)
def holder_traced_longer_than_the_stall_limit(w):
    """A traced one never ends a run, whatever the limit."""
    traced(w, 5.0)


def traced(w: World, seconds: float) -> None:
    m = w.a.mutex("m")

    def holder():
        with m:
            w.open("holds")
            w.at("enough")

    def waiter():
        m.acquire()
        m.release()

    pid = w.go(holder, name="holder")
    w.at("holds")
    w.go(waiter, name="waiter")
    w.waits("waiter")
    ptrace(PTRACE_SEIZE, pid)
    ptrace(PTRACE_INTERRUPT, pid)
    w.stopped(pid)
    time.sleep(seconds)  # how long the person at the debugger takes
    w.open("enough")
    os.waitpid(pid, 0x40000000 | os.WUNTRACED)  # __WALL: its trace stop
    ptrace(PTRACE_DETACH, pid)
    w.join()


@program(None, notices=("frozen",), frozen_s=2, stall_s=30)
def holder_stopped_for_a_second(w):
    pid = holder_and_waiter(w, lambda: w.at("enough"))
    w.stop(pid)
    time.sleep(1.0)
    os.kill(pid, signal.SIGCONT)
    w.open("enough")
    w.join()


@program(None, frozen_s=2, stall_s=30, notices=("frozen",))
def holder_stopped_three_times(w):
    pid = holder_and_waiter(w, lambda: w.at("enough"))
    for _ in range(3):
        w.stop(pid)
        time.sleep(1.0)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
    w.open("enough")
    w.join()


@program(None, notices=("frozen",), frozen_s=1, stall_s=30)
def holder_stopped_for_three_seconds(w):
    """Reported after frozen_s, and that is all."""
    pid = holder_and_waiter(w, lambda: w.at("enough"))
    w.stop(pid)
    time.sleep(3.0)
    os.kill(pid, signal.SIGCONT)
    w.open("enough")
    w.join()


@program(None, frozen_s=0.5, stall_s=30)
def bystander_stopped(w):
    """Nothing waits for it."""
    pid = w.go(lambda: w.at("enough"), name="bystander")
    w.stop(pid)
    m = w.a.mutex("m")

    def work():
        for _ in range(100):
            with m:
                time.sleep(0.01)

    w.go(work, name="one")
    w.go(work, name="two")
    w.until(nothing_but(w, pid), "the work")
    os.kill(pid, signal.SIGCONT)
    w.open("enough")
    w.join()


def nothing_but(w: World, pid: int):
    def look():
        w.actors = [other for other in w.actors if other == pid or not gone(other)]
        return w.actors == [pid]

    return look


@program(None, frozen_s=0.5, stall_s=30)
def waiter_stopped(w):
    """The holder runs; who waits for it is stopped for a while."""
    m = w.a.mutex("m")

    def holder():
        with m:
            w.meet("holds", "enough")

    def waiter():
        m.acquire()
        m.release()

    w.go(holder, name="holder")
    w.at("holds")
    pid = w.go(waiter, name="waiter")
    w.waits("waiter")
    w.stop(pid)
    time.sleep(1.5)
    w.open("enough")
    os.kill(pid, signal.SIGCONT)
    w.join()


@program(None, notices=("frozen", "lost_wakeup"), frozen_s=2, stall_s=30)
def waker_stopped_between_store_and_wakeup(w):
    """It goes on and wakes the sleeper: late, and not lost."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        with m:
            w.put()
        w.meet("stored", "enough")
        channel.wakeup()

    w.consumer(m, channel)
    pid = w.go(waker, name="waker", op="put")
    w.at("stored")
    w.stop(pid)
    time.sleep(1.5)
    os.kill(pid, signal.SIGCONT)
    w.open("enough")
    w.join()


@program(None, stall_s=2.5, frozen_s=2, livelock_s=2.5)
def the_watcher_itself_was_stopped(w):
    """A wait of 4 s of which the watcher saw 1 s: limits are seconds of watched time."""
    holder_and_waiter(w, lambda: w.at("enough"))
    os.kill(w.runner, signal.SIGSTOP)
    w.stopped(w.runner)
    time.sleep(3.0)
    os.kill(w.runner, signal.SIGCONT)
    time.sleep(1.0)
    w.open("enough")
    w.join()


@program(None, notices=("frozen", "lost_wakeup", "stall"), frozen_s=0.5, stall_s=2)
def waker_traced_longer_than_the_stall_limit(w):
    """A debugger has the waker between its store and its wakeup: no verdict of any kind ends the run."""
    m, channel = w.a.mutex("m"), w.a.channel("c")

    def waker():
        w.waits("consumer")
        with m:
            w.put()
        w.meet("stored", "enough")
        channel.wakeup()

    w.consumer(m, channel)
    pid = w.go(waker, name="waker", op="put")
    w.at("stored")
    ptrace(PTRACE_SEIZE, pid)
    ptrace(PTRACE_INTERRUPT, pid)
    w.stopped(pid)
    time.sleep(8.0)  # how long the person at the debugger takes
    w.open("enough")
    os.waitpid(pid, 0x40000000 | os.WUNTRACED)
    ptrace(PTRACE_DETACH, pid)
    w.join()
