"""A machine that has no more processes, descriptors or memory: said in words, exit code 4, nothing left."""

import errno
import os
import resource
from pathlib import Path

import pytest

from harness.errors import shortage
from harness.run import RunFailed, Session
from tests.harness.run.roles import children_of, turn_until_told

WHO = ["the supervisor", "the watchdog", "a worker", "the last worker"]


def said_by(actors, body):
    """What a process of one thread says of its run: its supervisor is a fork of it, whatever ``body`` did."""

    def front(me):
        with Session(workers=body()) as session:
            try:
                session.run(turn_until_told)
            except RunFailed as error:
                left = children_of(os.getpid())
                me.say(
                    f"{type(error).__name__} {error} | exit {error.exit_code} try {error.hint} left {left}"
                )

    return actors.actor(front).listen()


@pytest.mark.parametrize("who", WHO)
def test_a_process_that_cannot_be_made_is_no_fault_of_a_worker(actors, who):
    def refuse():
        real, made = os.fork, [0]

        def fork():  # each process goes on counting by itself
            made[0] += 1
            if made[0] == 1 + WHO.index(who):
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return real()

        os.fork = fork
        return 2

    said = said_by(actors, refuse)

    assert said.startswith("Shortage this machine gives the run no more processes: ")
    assert said.endswith("Resource temporarily unavailable | exit 4 try ulimit -a left []")


def test_a_supervisor_without_descriptors_says_so(actors):
    def limit():
        # It has them for its watchdog, not for the pipes of all workers.
        open_now = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 30,) * 2)
        return 40

    said = said_by(actors, limit)

    assert said.startswith("Shortage this machine gives the run no more file descriptors: ")
    assert said.endswith("| exit 4 try ulimit -a left []")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOMEM, ""), "memory"),
        (OSError(errno.EAGAIN, ""), "processes"),
        (OSError(errno.EMFILE, ""), "file descriptors"),
        (OSError(errno.ENFILE, ""), "file descriptors"),
        (OSError(errno.EPERM, ""), ""),
        (OSError("no number"), ""),
        (ValueError(errno.ENOMEM), ""),
    ],
)
def test_what_is_missing_is_told_by_the_error(error, what):
    assert shortage(error) == what
