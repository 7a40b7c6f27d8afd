"""The daemon has so many seconds of its own to come to rest: while it is stopped they do not run."""

import os
import signal
import threading
import time

import pytest

from harness.shm.checked import unguarded
from stress.oracles.at_rest import InvariantViolated, Patience, come_to_rest, services
from stress.scenario.power_switch import await_services
from tests.waiting import reap, wait_until

LIMIT_S = 1.0  # of the daemon's own time
STOPPED_S = 3.0


@pytest.fixture
def daemon(world):
    """Its seat, in a process that stops itself and has rested only when it goes on."""
    pid = os.fork()
    if pid == 0:
        world.arena.native.sit("pageout#1")
        os.kill(os.getpid(), signal.SIGSTOP)
        with unguarded():
            world.vm.g.pages_needed = world.vm.g.daemons = 0
        world.arena.native.leave()
        os._exit(0)
    wait_until(lambda: os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[0], "the stop of the daemon")
    yield pid
    os.kill(pid, signal.SIGKILL)
    reap(pid)


@pytest.mark.parametrize("waits", [come_to_rest, await_services])
def test_time_in_which_the_daemon_is_stopped_is_not_its_own(world, daemon, waits):
    with unguarded():
        world.vm.g.daemons = 1
    on = threading.Timer(STOPPED_S, os.kill, (daemon, signal.SIGCONT))
    on.start()

    with unguarded():
        waits(world.vm, LIMIT_S)

    on.join(LIMIT_S + STOPPED_S)
    assert not on.is_alive(), "it rested while it was stopped, this test would prove nothing"


@pytest.fixture
def spinners(world):
    """A daemon that wants the processor, and a process that wants the same one and has priority."""
    cpu, pids = min(os.sched_getaffinity(0)), []
    try:
        for policy in (os.SCHED_IDLE, os.SCHED_OTHER):
            pids.append(os.fork())
            if pids[-1] == 0:
                if policy == os.SCHED_IDLE:
                    world.arena.native.sit("pageout#1")
                while True:
                    pass
            wait_until(lambda: services(world.vm), "the daemon's seat")
            os.sched_setaffinity(pids[-1], {cpu})
            os.sched_setscheduler(pids[-1], policy, os.sched_param(0))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            reap(pid)


def test_time_in_which_the_daemon_waits_for_a_processor_is_not_its_own(world, spinners):
    patience, end = Patience(world.vm, LIMIT_S), time.monotonic() + STOPPED_S
    while time.monotonic() < end:
        assert not patience.is_over()
        time.sleep(0.02)

    assert patience.spent < LIMIT_S


def test_a_daemon_that_runs_and_does_not_rest_is_found(world):
    with unguarded():
        world.vm.g.pages_needed = 1
    with pytest.raises(InvariantViolated, match="does not come to rest"):
        come_to_rest(world.vm, 0.1)
