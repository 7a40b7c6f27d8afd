"""A worker that does not come to its end, and the limits that say so."""

import ctypes
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput
from harness.outcome import Crashed, Hung, Passed
from harness.run import RoleSpec, Session
from harness.watch import dump
from tests.harness.run.roles import spin_until, turn_until_told
from tests.harness.run.test_outcomes import the


def stop_here():
    """The signal is sent to this thread: a process may take it a moment later, in another one."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


ON: Any = {"stop_on": (), "linger_s": None}  # findings are kept and the run goes on


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_time_limit_is_a_word_and_then_an_end(mode):
    def deaf(context):
        spin_until(lambda: False)

    roles = [RoleSpec("polite", turn_until_told), RoleSpec("deaf", deaf)]
    with Session(mode=mode, time_limit_s=0.3, grace_s=1.0) as session:
        result = session.run_roles(roles, epochs=None)

    polite, late = result.outcomes
    assert isinstance(polite, Passed)
    assert isinstance(late, Hung)
    (found,) = result.findings
    assert (found.verdict, found.workers, late.verdict) == ("hung", ("deaf#0",), "hung")
    assert "still there: deaf#0 " in found.summary
    assert (result.ok, result.exit_code) == (False, 1)
    assert (result.ended_by, result.interrupted) == ("time limit", False)


def test_a_worker_that_hangs_while_it_prepares_is_a_finding(tmp_path):
    roles = [RoleSpec("fine", turn_until_told)]
    roles.append(RoleSpec("stuck", turn_until_told, prepare=lambda _: spin_until(lambda: False)))
    with Session(ready_limit_s=0.5, grace_s=0.2, dump_dir=tmp_path) as session:
        result = session.run_roles(roles)

    (found,) = result.findings
    assert (found.verdict, found.workers) == ("hung", ("stuck#0",))
    assert dump.read(Path(found.dump)).verdict == "hung"
    assert [file.name for file in tmp_path.iterdir()] == [os.path.basename(found.dump)]
    assert (result.ended_by, result.exit_code) == ("finding", 1)


@pytest.mark.parametrize("name", ["stall_s", "livelock_s", "frozen_s", "audit_limit_s"])
@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_limits_are_numbers_of_seconds(name, bad):
    with pytest.raises(BadInput, match=name):
        Session(**{name: bad})


def test_a_worker_that_became_another_program_says_so():
    def role(context):
        if context.index == 0:
            os.execv("/bin/sleep", ["sleep", "1000"])
        turn_until_told(context)

    with Session(workers=2, grace_s=0.2) as session:
        result = session.run(role)

    gone = the(result, "worker#0")
    assert isinstance(gone, Crashed)
    assert gone.program.endswith(("sleep", "coreutils", "busybox"))
    assert [f.verdict for f in result.findings] == ["crash"]
    assert "replaced itself by exec of" in result.findings[0].summary


@pytest.mark.parametrize("what", ["kernel", "channel"])
def test_a_worker_that_our_signal_got_out_of_its_call_is_hung_all_the_same(what):
    def role(context):
        try:
            if what == "kernel":
                ctypes.CDLL(None).sleep(1000)  # a signal ends it, and no line of Python was left by then
            else:
                channel = context.arena.channel("no thread wakes")
                channel.block(channel.intend(), "for ever", timeout=1000.0)
        except BaseException:  # noqa: BLE001 - it takes our word to stop for an answer to its call
            return

    with Session(workers=1, time_limit_s=0.3, grace_s=0.2) as session:
        result = session.run(role)

    (found,) = result.findings
    (outcome,) = result.outcomes
    assert (found.verdict, found.workers) == ("hung", ("worker#0",))
    assert isinstance(outcome, Hung)
    assert outcome.verdict == "hung"


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_a_process_that_does_not_end_after_its_last_word_is_hung(mode, tmp_path):
    def leaves_a_thread(context):
        threading.Thread(target=os.read, args=(os.pipe()[0], 1)).start()

    roles = [RoleSpec("lingers", leaves_a_thread), RoleSpec("fine", lambda _: None)]
    with Session(mode=mode, grace_s=0.2, dump_dir=tmp_path) as session:
        result = session.run_roles(roles)

    (found,) = result.findings
    assert (found.verdict, found.workers) == ("hung", ("lingers#0",))
    assert "said its last word, and 0.2 s later its process is still there: thread " in found.summary
    assert " in read" in found.summary
    assert dump.read(Path(found.dump)).verdict == "hung"
    assert [type(outcome) for outcome in result.outcomes] == [Passed, Passed]
    assert (result.ok, result.exit_code, result.ended_by) == (False, 1, "finding")


def test_a_process_that_ends_a_little_after_its_last_word_is_not():
    def leaves_a_thread(context):
        read, write = os.pipe()
        threading.Thread(target=os.read, args=(read, 1)).start()
        threading.Timer(0.3, os.write, (write, b".")).start()

    with Session(workers=2, grace_s=60.0) as session:
        result = session.run(leaves_a_thread)

    assert result.ok, result
    assert result.incidents == ()


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_a_worker_stopped_while_it_ends_is_continued_and_not_hung(mode):
    def role(context):
        turn_until_told(context)
        for _ in range(2):
            stop_here()

    with Session(mode=mode, time_limit_s=0.3, grace_s=0.5) as session:
        result = session.run_roles([RoleSpec("stopped", role)], epochs=None)

    assert (result.findings, result.exit_code) == ((), 0)
    assert isinstance(the(result, "stopped#0"), Passed)
    assert sum("was stopped by a signal from outside" in one for one in result.incidents) == 2


def test_the_way_of_a_service_to_its_end_may_be_stopped(tmp_path):
    told = tmp_path / "told"

    def stop():
        stop_here()
        told.touch()

    services = [RoleSpec("service", lambda _: spin_until(told.exists), service=True, stop=stop)]
    with Session(time_limit_s=0.3, grace_s=0.5) as session:
        result = session.run_roles([RoleSpec("worker", turn_until_told), *services], epochs=None)

    assert (result.findings, result.exit_code) == ((), 0)
    assert isinstance(the(result, "service#0"), Passed)


def test_a_worker_that_is_stopped_too_often_while_it_ends_is_hung():
    def role(context):
        turn_until_told(context)
        while True:
            stop_here()

    with Session(time_limit_s=0.2, grace_s=0.2) as session:
        result = session.run_roles([RoleSpec("stopped", role)], epochs=None)

    assert [(f.verdict, f.workers) for f in result.findings] == [("hung", ("stopped#0",))]
