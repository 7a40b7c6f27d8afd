"""The limit of a set-up counts the time that the set-up had, not the time that other programs had."""

import os
import signal
import time

import pytest

from stress.run import set_up
from stress.run.opening import OwnFindings
from stress.run.options import RunOptions
from stress.run.set_up import SetUp, SetUpHung
from tests.harness.actors import fork
from tests.waiting import reap

LIMIT_S = 0.5


@pytest.fixture
def crowded():
    """Four other programs want the one processor that this process may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})

    def spin():
        while True:
            pass

    others = [fork(spin) for _ in range(4)]
    yield
    for pid in others:
        os.kill(pid, signal.SIGKILL)
        reap(pid)
    os.sched_setaffinity(0, before)


def compute(seconds):
    """Use a processor for so long."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_set_up_that_does_not_get_a_processor_does_not_hang(crowded, monkeypatch):
    monkeypatch.setattr(set_up, "MOST_TIMES", 10_000)
    begun = time.monotonic()

    with SetUp(OwnFindings(RunOptions(setup_limit=LIMIT_S))) as limit:
        compute(LIMIT_S / 2)

    assert time.monotonic() - begun > LIMIT_S, "nothing was in the way; this test would prove nothing"
    assert limit.finding is None


def test_a_set_up_that_had_its_time_hangs_also_where_others_are_in_the_way(crowded):
    with pytest.raises(SetUpHung), SetUp(OwnFindings(RunOptions(setup_limit=LIMIT_S))) as limit:
        compute(1000.0)

    assert limit.finding is not None
    assert limit.finding.verdict == "hung"
