"""An arena outlives a run: what one leaves in it is no finding of the next."""

import signal

import pytest

from harness.errors import OwnerDied
from harness.outcome import Hung, Passed
from harness.run import Session
from tests.harness.run.roles import spin_until, until_enough
from tests.harness.run.test_outcomes import both_orders, outcomes


def test_an_arena_can_be_used_for_several_runs():
    with Session(workers=1) as session:
        bad = session.run(both_orders)
        good = session.run(lambda _: None)

    assert [f.verdict for f in bad.findings] == ["order_violation"]
    assert good.ok
    assert outcomes(good) == [Passed]


def test_what_an_earlier_run_left_held_is_no_finding_of_the_next():
    """The supervisor ended its holder; a thread that takes the lock later gets OwnerDied, as always."""

    def deaf(context):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        with context.arena.mutex("kept"):
            spin_until(lambda: False)

    with Session(workers=1, grace_s=0.1) as session:
        lock = session.arena.mutex("kept")
        ended = until_enough(lambda limit_s: session.run(deaf, time_limit_s=limit_s), lambda _: lock.locked())
        good = session.run(lambda _: None)
        assert lock.locked()
        with pytest.raises(OwnerDied):
            lock.acquire()

    assert outcomes(ended) == [Hung]
    assert (good.findings, outcomes(good)) == ((), [Passed])
