"""Deadlocks: rounds of waits that cannot end, of every kind of edge and with every kind of bystander."""

import os
import signal
import threading
import time

from harness.errors import SelfDeadlock
from tests.truth.program import program
from tests.truth.world import C, World, stay


def cross(w: World, op: str = "work") -> tuple[int, int]:
    """AB-BA of two processes, sure to meet."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, mine, theirs):
        first.acquire()
        w.meet(mine, theirs)
        second.acquire()

    a = w.go(side, x, y, "a holds", "b holds", name="a", op=op)
    return a, w.go(side, y, x, "b holds", "a holds", name="b", op=op)


@program("deadlock", also=("order_violation",), names=("a", "b"), quick=True)
def abba(w):
    cross(w)


@program("deadlock", also=("order_violation",))
def abba_without_a_step(w):
    cross(w, op="")


@program("deadlock", also=("order_violation",))
def abba_of_threads(w):
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def process():
        w.a.native.leave()

        def side(first, second, mine, theirs):
            first.acquire()
            w.meet(mine, theirs)
            second.acquire()

        threading.Thread(target=side, args=(x, y, "a", "b"), daemon=True).start()
        threading.Thread(target=side, args=(y, x, "b", "a"), daemon=True).start()
        stay()

    w.go(process)


@program("deadlock", also=("order_violation",), frozen_s=60)
def abba_with_a_stopped_member(w):
    """A stopped member does not matter: it would not go on if it were continued."""
    a, _ = cross(w)
    w.waits("a")
    w.waits("b")
    os.kill(a, signal.SIGSTOP)


@program("deadlock", also=("order_violation",))
def abba_beside_workers_that_work(w):
    third = w.a.mutex("third")

    def beat():
        while True:
            with w.step("beat"), third:
                pass
            time.sleep(0.01)

    w.go(beat, name="beat")
    cross(w)


@program("deadlock", also=("order_violation",))
def abba_beside_one_who_gives_up(w):
    """A timed waiter for a lock of the round does not open it."""
    x = w.a.mutex("x")

    def impatient():
        w.at("a holds")
        for _ in range(3):
            x.acquire(timeout=0.2)

    w.go(impatient, name="impatient")
    cross(w)


@program("deadlock", also=("order_violation",))
def abba_after_a_timed_try(w):
    """Both first tried with a time limit and then without."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def side(first, second, mine, theirs):
        first.acquire()
        w.meet(mine, theirs)
        if not second.acquire(timeout=0.1):
            second.acquire()

    w.go(side, x, y, "a", "b", name="a")
    w.go(side, y, x, "b", "a", name="b")


@program("deadlock", also=("order_violation",))
def three_readers_write_round(w):
    locks = [w.a.rwlock(f"l{i}") for i in range(3)]

    def side(i):
        locks[i].read()
        w.open(f"reads {i}")
        for j in range(3):
            w.at(f"reads {j}")
        locks[(i + 1) % 3].write()

    for i in range(3):
        w.go(side, i, name=f"r{i}")


@program("deadlock", also=("order_violation",))
def through_a_queued_writer(w):
    """A reader wants m; m's holder wants to read behind a queued writer."""
    lock, m = w.a.rwlock("l"), w.a.mutex("m")

    def reader():
        lock.read()
        w.meet("reads", "queued behind")
        m.acquire()

    def writer():
        w.at("reads")
        lock.write()

    def holder():
        m.acquire()
        w.at("queued")
        w.open("queued behind")
        lock.read()

    w.go(reader, name="reader")
    w.go(holder, name="holder")
    w.go(writer, name="writer")
    w.waits("writer")
    w.open("queued")


@program("deadlock", also=("order_violation",))
def rw_round_after_a_signal(w):
    """One waiter's signal handler took a contended lock: its outer wait must still be seen."""
    x, y, log = w.a.rwlock("x"), w.a.rwlock("y"), w.a.mutex("log", may_sleep=True)

    def handler(*_):
        w.open("in the handler")
        with log:
            pass
        w.open("handled")

    def one():
        x.write()
        w.meet("one", "handled")
        y.write()

    def two():
        signal.signal(signal.SIGUSR1, handler)
        y.read()
        w.at("one")
        x.write()

    def logger():
        with log:
            w.open("logging")
            w.at("in the handler")
            time.sleep(0.2)  # the handler's own wait, however long it gets

    w.go(one, name="one")
    pid = w.go(two, name="two")
    w.go(logger, name="logger")
    w.at("logging")
    w.waits("two")
    os.kill(pid, signal.SIGUSR1)


@program("deadlock", also=("order_violation",), names=("20",))
def ring_of_20(w):
    ring = [w.a.mutex("ring", i, nest=True) for i in range(20)]

    def side(i):
        ring[i].acquire()
        w.open(f"holds {i}")
        w.at("all")
        ring[(i + 1) % 20].acquire()

    for i in range(20):
        w.go(side, i, name=f"p{i}")
    for i in range(20):
        w.at(f"holds {i}")
    w.open("all")


@program("deadlock", quick=True)
def claim_round(w):
    """A sleeps until B's word changes and holds what B needs."""
    m, guard, channel = w.a.mutex("m", may_sleep=True), w.a.mutex("guard"), w.a.channel("c")

    def owner():
        w.a.native.claim(w.address())
        w.meet("claimed", "holds m")
        m.acquire()

    def sleeper():
        w.at("claimed")
        m.acquire()
        w.open("holds m")
        guard.acquire()
        channel.wait(guard, "page", (w.cell, "count", 1))

    w.go(owner, name="owner")
    w.go(sleeper, name="sleeper")


@program("deadlock", also=("order_violation",))
def upgrade_against_a_reader(w):
    lock, m = w.a.rwlock("l"), w.a.mutex("m")

    def upgrader():
        lock.read()
        m.acquire()
        w.meet("both", "reads")
        lock.upgrade()

    def reader():
        w.at("both")
        lock.read()
        w.open("reads")
        m.acquire()

    w.go(upgrader, name="upgrader")
    w.go(reader, name="reader")


@program("deadlock")
def join_round(w):
    """A waits for the end of B, which waits for A's lock."""
    m = w.a.mutex("m")
    numbers = {}

    def process():
        def worker():
            w.a.native.sit("b")
            numbers["b"] = w.a.native.seat()
            w.meet("b sits", "a holds")
            m.acquire()

        thread = threading.Thread(target=worker, daemon=True)
        thread.start()
        w.at("b sits")
        m.acquire()
        w.open("a holds")
        w.a.native.set_activity(C["JOINING"], numbers["b"])
        thread.join()

    w.go(process, name="a")


@program("deadlock", also=("order_violation",))
def half_of_the_waiters_is_timed(w):
    """The round itself has no timed wait; two others of the same locks have."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def timed(lock, gate):
        w.at(gate)
        lock.acquire(timeout=30)

    w.go(timed, x, "a holds", name="t1")
    w.go(timed, y, "b holds", name="t2")
    cross(w)


@program("deadlock", also=("order_violation",))
def abba_beside_a_killed_waiter(w):
    x = w.a.mutex("x")

    def third():
        w.at("a holds")
        x.acquire()

    pid = w.go(third, name="third")
    cross(w)
    w.waits("third")
    w.kill(pid)


@program("deadlock", also=("order_violation",))
def abba_with_over_long_names(w):
    """Names cut in the middle of a character, of role, step, class and wait, never stop the watcher."""
    long = "é" * 60
    lock, m, channel = w.a.mutex("x" * 23), w.a.mutex("ж" * 11), w.a.channel("c")

    def sleeper():
        m2 = w.a.mutex("guard")
        m2.acquire()
        channel.sleep(m2, "ы" * 90, (w.other, "count", 1), idle=True)

    def side(first, second, mine, theirs):
        w.a.native.begin("x" + long)
        first.acquire()
        w.meet(mine, theirs)
        second.acquire()

    w.go(sleeper, name="ы" * 30)
    w.go(side, lock, m, "a", "b", name="x" + long)
    w.go(side, m, lock, "b", "a", name="xx" + long)


@program("self_deadlock", also=("contract_violation",), names=("m[0]",), quick=True)
def takes_its_own_mutex_again(w):
    m = w.a.mutex("m")

    def body():
        m.acquire()
        try:
            m.acquire()
        except SelfDeadlock:
            w.open("refused")
        m.release()

    w.go(body, name="again")
    w.at("refused")


@program("self_deadlock", also=("contract_violation",))
def upgrades_what_it_reads_twice(w):
    lock = w.a.rwlock("l")

    def body():
        lock.read()
        lock.read(pass_writers=True)
        try:
            lock.upgrade()
        except SelfDeadlock:
            w.open("refused")
        lock.release()
        lock.release()

    w.go(body, name="upgrader")
    w.at("refused")


@program("deadlock", names=("map", "x"), also=("order_violation",))
def upgrader_and_a_reader_that_wants_its_lock(w):
    shared, x = w.a.rwlock("map"), w.a.mutex("x")

    def upgrades():
        shared.read()
        x.acquire()
        w.open("upgrader")
        w.at("reader")
        shared.upgrade()

    def reads():
        shared.read()
        w.open("reader")
        w.at("upgrader")
        x.acquire()

    w.go(upgrades, name="upgrader")
    w.go(reads, name="reader")
