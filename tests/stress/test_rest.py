"""The daemon has so many seconds of its own to come to rest: while it is stopped they do not run."""

import os
import signal
import threading

import pytest

from harness.shm.checked import unguarded
from stress.oracles import InvariantViolated, come_to_rest
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
            world.vm.g.pages_needed = 0
        world.arena.native.leave()
        os._exit(0)
    wait_until(lambda: os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[0], "the stop of the daemon")
    yield pid
    os.kill(pid, signal.SIGKILL)
    reap(pid)


def test_time_in_which_the_daemon_is_stopped_is_not_its_own(world, daemon):
    on = threading.Timer(STOPPED_S, os.kill, (daemon, signal.SIGCONT))
    on.start()

    come_to_rest(world.vm, LIMIT_S)

    on.join(LIMIT_S + STOPPED_S)
    assert not on.is_alive(), "it rested while it was stopped, this test would prove nothing"


def test_a_daemon_that_runs_and_does_not_rest_is_found(world):
    with unguarded():
        world.vm.g.pages_needed = 1
    with pytest.raises(InvariantViolated, match="does not come to rest"):
        come_to_rest(world.vm, 0.1)
