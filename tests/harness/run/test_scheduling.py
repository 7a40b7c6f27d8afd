"""The own time of threads: not while they are stopped, nor while one of them waits for a processor."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from harness.run.scheduling import OwnTime, of_thread
from tests.waiting import LIMIT_S, wait_until

SPIN = "print(flush=True)\nwhile True: pass"
SLEEP = "import sys; print(flush=True); sys.stdin.read()"
WATCHED_S = 1.0


@contextmanager
def program(text, cpu=None, idle=False):
    """A process that does this; ``idle``: only when no other process wants the processor."""

    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    said = child.stdout.fileno()
    try:
        wait_until(lambda: select.select([said], [], [], 0)[0], "the start of a child")
        if cpu is not None:
            os.sched_setaffinity(child.pid, {cpu})
        if idle:
            os.sched_setscheduler(child.pid, os.SCHED_IDLE, os.sched_param(0))
        yield child.pid
    finally:
        child.kill()
        child.communicate(timeout=LIMIT_S)


def watched(own, late, others):
    """(seconds that passed, those that ``own`` says were theirs)."""
    begun = last = time.monotonic()
    total = own.passed(0.0, late, others)
    while last - begun < WATCHED_S:
        time.sleep(0.02)
        now = time.monotonic()
        total += own.passed(now - last, late, others)
        last = now
    return last - begun, total


def test_a_stopped_thread_is_excused_for_so_long():
    with program(SLEEP) as child:
        os.kill(child, signal.SIGSTOP)
        wait_until(lambda: of_thread(child, 0).stopped, "the stop")

        passed, excused = watched(OwnTime(60.0), [(child, child)], [])
        own, rest = watched(OwnTime(WATCHED_S / 2), [(child, child)], [])

    assert excused == 0.0
    assert passed >= WATCHED_S
    assert 0.0 < rest < own


@pytest.mark.parametrize("sleeps", [False, True], ids=["itself", "another"])
def test_time_in_which_one_of_them_waits_for_a_processor_is_not_their_own(sleeps):
    """The sleeper is late, and may wait for what the one without processor is to do."""
    cpu = min(os.sched_getaffinity(0))
    with program(SPIN, cpu, idle=True) as starved, program(SPIN, cpu), program(SLEEP) as sleeper:
        late, others = [(starved, starved)], []
        if sleeps:
            late, others = [(sleeper, sleeper)], late

        passed, own = watched(OwnTime(60.0), late, others)

    assert own < passed / 2


def test_a_sleeper_beside_sleepers_has_all_the_time():
    with program(SLEEP) as one, program(SLEEP) as two:
        passed, own = watched(OwnTime(60.0), [(one, one)], [(two, two)])

    assert own > passed / 2


def test_what_a_late_one_got_is_its_own_whatever_starves_beside_it():
    cpu = min(os.sched_getaffinity(0))
    with program(SPIN, cpu, idle=True) as starved, program(SPIN, cpu) as spinner:
        before = of_thread(spinner, 0).cpu_s
        _, own = watched(OwnTime(60.0), [(spinner, spinner)], [(starved, starved)])
        got = of_thread(spinner, 0).cpu_s - before

    assert own > 0.5 * got > 0.0
