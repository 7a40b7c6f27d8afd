"""The watchdog may be killed once."""

import os
import signal
import subprocess
import sys
import threading
from ctypes import c_uint64
from functools import partial

import pytest

from harness.outcome import Passed
from harness.run import Session, WatchdogDied
from harness.run.barrier import Barrier, State
from harness.watch import Watchdog
from tests.harness.run.roles import cross, spin_until, turn_until_told
from tests.waiting import LIMIT_S


def word(arena):
    return (c_uint64 * 1).from_buffer(arena.mapping, arena.reserve("watchdog pid", 8))


def known(arena, dump_dir, meta, on_finding):
    """A watchdog that says where it is."""
    word(arena)[0] = os.getpid()
    return Watchdog(arena, dump_dir, meta, on_finding)


def another(pid, last) -> bool:
    return pid[0] not in (0, last)


def kill_the_watchdog(context, times):
    pid, last = word(context.arena), 0
    for _ in range(times):
        spin_until(partial(another, pid, last))
        last = pid[0]
        os.kill(last, signal.SIGKILL)
    spin_until(lambda: pid[0] != last or context.should_stop())


def test_a_killed_watchdog_is_started_again():
    with Session(workers=1, watch=known) as session:
        word(session.arena)
        result = session.run(kill_the_watchdog, 1)

    assert result.incidents == ("the watchdog died (killed by SIGKILL) and was started again",)
    assert result.findings == ()
    assert [type(outcome) for outcome in result.outcomes] == [Passed]


def test_the_second_watchdog_watches():
    def role(context):
        if context.index == 0:
            kill_the_watchdog(context, 1)
        cross(context)

    with Session(workers=2, watch=known) as session:
        word(session.arena)
        result = session.run(role)

    assert "deadlock" in [f.verdict for f in result.findings]
    assert len(result.incidents) == 1


def test_a_watchdog_killed_twice_ends_the_run_as_our_failure():
    def role(context):
        if context.index == 0:
            kill_the_watchdog(context, 2)
        turn_until_told(context)

    with Session(workers=2, watch=known) as session, pytest.raises(WatchdogDied) as caught:
        word(session.arena)
        session.run(role)

    assert "killed by SIGKILL" in str(caught.value)
    assert caught.value.exit_code == 3
    assert [type(outcome) for outcome in caught.value.outcomes] == [Passed, Passed]
    assert len(caught.value.incidents) == 1


class Late(Watchdog):
    """Looks only when the work is over, as on a busy machine."""

    def one_pass(self):
        if Barrier(self.arena).gate.state == State.ENDING:
            super().one_pass()


def wrong_order(context):
    a, b = context.arena.mutex("a"), context.arena.mutex("b")

    def usual():
        with a, b:
            pass

    other = threading.Thread(target=usual)
    other.start()
    other.join(60)
    assert not other.is_alive(), "the thread that takes the locks in the usual order does not end"
    with b, a:
        pass


def test_a_run_is_not_over_before_the_watchdog_has_read_every_report():
    with Session(workers=1, watch=Late) as session:
        result = session.run(wrong_order)

    assert [f.verdict for f in result.findings] == ["order_violation"]


ALONE = """
from harness.run import Session

def sleep_for_ever(context):
    lock = context.arena.mutex("guard")
    lock.acquire()
    context.arena.channel("bell").sleep(lock, "bell")

with Session(workers=1, time_limit_s=50.0) as session:
    with session.arena.mutex("guard"):  # now the front has a seat of its own
        pass
    result = session.run(sleep_for_ever)
print([(found.verdict, found.workers) for found in result.findings])
"""


def test_the_front_does_not_count_as_a_thread_that_could_wake_a_sleeper():
    """A program of its own: the test runner has threads without a seat, which might wake it."""
    said = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=2 * LIMIT_S, check=False
    )

    assert (said.stdout, said.returncode) == ("[('lost_wakeup', ('worker#0',))]\n", 0), said.stderr


def broken(arena, dump_dir, meta, on_finding):
    raise RuntimeError("no eyes")


def test_a_watchdog_that_cannot_begin_is_our_failure_with_its_reason():
    with (
        Session(workers=1, watch=broken) as session,
        pytest.raises(WatchdogDied, match="RuntimeError: no eyes"),
    ):
        session.run(turn_until_told)


def test_findings_reach_the_result_through_the_pipe(tmp_path):
    with Session(workers=2, seed=11, dump_dir=tmp_path, reproduce="hangdog run --seed 11") as session:
        result = session.run(cross)

    finding = next(f for f in result.findings if f.verdict == "deadlock")
    assert set(finding.workers) == {"worker#0", "worker#1"}
    assert finding.reproduce == "hangdog run --seed 11"
    assert finding.at_s > 0
    assert (tmp_path / os.path.basename(finding.dump)).is_file()
