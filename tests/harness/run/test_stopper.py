"""SIGTERM ends a worker wherever it is; where an exception would be swallowed, just behind."""

import signal
import weakref
from contextlib import contextmanager

import pytest

from harness.run.context import WorkerStopped
from harness.run.worker import Stopper


@contextmanager
def listening():
    before = signal.signal(signal.SIGTERM, Stopper())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Last:
    """Asks for the stop when it goes."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


class WorkerHandle:
    """Can be in a WeakSet."""


def test_a_stop_is_raised_where_the_worker_is():
    with listening(), pytest.raises(WorkerStopped):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_comes_in_a_destructor_is_raised_behind_it():
    steps: list[int] = []
    with listening(), pytest.raises(WorkerStopped):
        Last()
        steps += [len(steps) for _ in range(3)]
        pytest.fail("nothing was raised")
    assert steps == []


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_in_the_callback_of_a_weak_set_is_raised_after_it():
    one = WorkerHandle()
    kept = weakref.WeakSet([one])
    with listening(), pytest.raises(WorkerStopped):
        weakref.finalize(one, signal.raise_signal, signal.SIGTERM)
        del one
        len(kept)
        pytest.fail("nothing was raised")
