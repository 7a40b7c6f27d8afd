"""What came of every worker is known, whatever came of the others."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput, WorkerFailed
from harness.outcome import Crashed, Failed, Hung, Killed, Passed
from harness.run import RoleSpec, Session, process_control
from harness.shm.roster import Roster
from harness.watch import dump
from tests.harness.run.roles import cross, die, spin_until, turn_until_told, until_enough
from tests.waiting import LIMIT_S

ON: Any = {"stop_on": (), "linger_s": None}  # findings are kept and the run goes on


def the(result, worker) -> Any:
    """Its outcome, of whatever kind the test goes on to say."""
    return result.of(worker)


def outcomes(result):
    return [type(outcome) for outcome in result.outcomes]


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_one_passes_one_raises_and_all_are_kept(mode):
    def role(context):
        with context.step("try"):
            if context.index == 1:
                raise ValueError("one of three")

    with Session(workers=3, mode=mode, **ON) as session:
        result = session.run(role)

    assert outcomes(result) == [Passed, Failed, Passed]
    failed = the(result, "worker#1")
    assert (failed.error, failed.text, failed.verdict) == ("ValueError", "one of three", "")
    assert failed.where.endswith(" role")
    assert "raise ValueError" in failed.traceback
    assert [f.verdict for f in result.findings] == ["panic"]
    assert result.findings[0].workers == ("worker#1",)
    assert result.exit_code == 1


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_stack_of_a_worker_that_failed_is_that_of_its_exception(mode, tmp_path):
    def deeper(number):
        raise ValueError(f"at {number}")

    def role(context):
        with context.step("try"):
            deeper(context.index)

    with Session(workers=1, mode=mode, dump_dir=str(tmp_path), **ON) as session:
        result = session.run(role)

    (found,) = result.findings
    told = dump.read(Path(found.dump))
    (seat,) = (one for one in told.threads if one.number in told.involved)
    assert [frame.rpartition(" ")[2] for frame in seat.stack[:2]] == ["deeper", "role"]
    assert not any("account.py" in line for line in [*told.cycle, *seat.stack])
    assert told.taken_ns > 0


def test_one_passes_one_raises_and_one_is_killed():
    def role(context):
        with context.step("first"):
            pass
        context.begin("second")
        if context.index == 1:
            raise ValueError("no")
        if context.index == 2:
            die(context)
        context.end()

    with Session(workers=4, **ON) as session:
        result = session.run(role)

    assert outcomes(result) == [Passed, Failed, Crashed, Passed]
    assert [outcome.steps for outcome in result.outcomes] == [2, 1, 1, 2]
    crashed = the(result, "worker#2")
    assert (crashed.signal, crashed.where) == (signal.SIGKILL, "second")
    assert sorted(f.verdict for f in result.findings) == ["crash", "panic"]
    assert all(outcome.pid and outcome.seat for outcome in result.outcomes)
    assert len({outcome.pid for outcome in result.outcomes}) == 4
    assert result.ended_by == "done"


def test_leaving_without_a_report_is_a_crash_with_its_exit_code():
    with Session(workers=1) as session:
        result = session.run(lambda _: os._exit(5))

    assert outcomes(result) == [Crashed]
    assert the(result, "worker#0").exit_code == 5
    assert [f.summary for f in result.findings] == ["worker worker#0 died: exit code 5"]


def test_sys_exit_in_a_role_is_a_failure():
    with Session(workers=1) as session:
        result = session.run(lambda _: sys.exit(0))

    assert the(result, "worker#0").error == "SystemExit"


def test_a_process_of_threads_dies_as_one():
    def role(context):
        if context.index == 1:
            die(context, signal.SIGSEGV)
        turn_until_told(context)

    with Session(workers=3, mode="thread") as session:
        result = session.run(role)

    assert outcomes(result) == [Crashed] * 3
    assert [f.verdict for f in result.findings] == ["crash"]
    assert result.findings[0].summary.endswith("killed by SIGSEGV")


def test_a_crash_ends_the_run_and_has_a_dump(tmp_path):
    def role(context):
        spin_until(context.arena.native.seat)
        if context.index == 1:
            context.arena.mutex("precious").acquire()
            die(context)
        turn_until_told(context)

    with Session(workers=2, dump_dir=tmp_path / "dumps") as session:
        result = session.run(role)

    assert result.ended_by == "finding"
    crash = next(f for f in result.findings if f.verdict == "crash")
    assert crash.seats == (the(result, "worker#1").seat,)
    assert json.loads(Path(crash.dump).read_text())["verdict"] == "crash"
    assert outcomes(result)[1] is Crashed


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda context: die(context, signal.SIGSEGV), "native code touched memory that is not there"),
        (lambda context: die(context, signal.SIGKILL), "a process outside killed it"),
        (lambda _: os._exit(5), "it left without telling the supervisor"),
    ],
)
def test_the_dump_of_a_crash_says_whose_doing_it_was(end, said, tmp_path):
    with Session(workers=1, dump_dir=tmp_path / "dumps") as session:
        result = session.run(end)

    crash = next(f for f in result.findings if f.verdict == "crash")
    assert json.loads(Path(crash.dump).read_text())["cause"].startswith(f"Cause: {said}")


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [
        (die, "killed by SIGKILL"),
        (lambda _: os._exit(9), "exit code 9"),
        (lambda _: os.environ["MISSING"], "KeyError: 'MISSING'"),
    ],
    ids=["killed", "left", "raised"],
)
def test_a_worker_that_never_gets_ready_is_an_error_with_its_cause(prepare, cause):
    reached: list[object] = []
    roles = [RoleSpec("fine", reached.append), RoleSpec("bad", die, prepare=prepare)]

    with Session() as session, pytest.raises(WorkerFailed) as caught:
        session.run_roles(roles)

    assert str(caught.value) == f"worker bad#0 never reported ready: {cause}"
    assert caught.value.exit_code == 3


def test_no_role_begins_before_all_are_prepared():
    def prepare(context):
        table = context.arena.reserve("ready", 64)
        context.arena.native.view(table, 64)[context.index] = 1

    def role(context):
        context.send(bytes(context.arena.native.view(context.arena.reserve("ready", 64), 64)[:4]))

    with Session() as session:
        session.arena.reserve("ready", 64)
        result = session.run_roles([RoleSpec("all", role, count=4, prepare=prepare)])

    assert result.values() == [b"\1\1\1\1"] * 4


def test_a_payload_arrives_even_if_its_sender_dies_right_after():
    def role(context):
        context.send({"big": b"x" * 300_000, "index": context.index})
        die(context)

    with Session(workers=3, **ON) as session:
        result = session.run(role)

    assert sorted(value["index"] for value in result.values("worker")) == [0, 1, 2]
    assert all(len(value["big"]) == 300_000 for value in result.values())


def test_an_exception_that_the_watchdog_saw_too_is_one_finding(tmp_path):
    def role(context):
        with context.arena.mutex("twice") as _, context.arena.mutex("twice"):
            pass

    with Session(workers=1, dump_dir=tmp_path) as session:
        result = session.run(role)

    assert [f.verdict for f in result.findings] == ["self_deadlock"]
    assert Path(result.findings[0].dump).parent == tmp_path
    assert the(result, "worker#0").verdict == "self_deadlock"


def test_without_a_watchdog_an_exception_is_a_finding_all_the_same(tmp_path):
    def role(context):
        with context.arena.mutex("twice"), context.arena.mutex("twice"):
            pass

    with Session(workers=1, watch=False, dump_dir=tmp_path) as session:
        result = session.run(role)

    (finding,) = result.findings
    assert (finding.verdict, finding.workers) == ("self_deadlock", ("worker#0",))
    told = dump.read(Path(finding.dump))
    assert (told.verdict, told.summary) == ("self_deadlock", finding.summary)


def test_a_deadlock_ends_the_run_and_names_both():
    with Session(workers=2, linger_s=None, time_limit_s=LIMIT_S) as session:
        result = session.run(cross)

    assert "deadlock" in [f.verdict for f in result.findings]
    assert outcomes(result) == [Hung, Hung]
    assert {the(result, f"worker#{i}").verdict for i in range(2)} == {"deadlock"}
    assert all(" cross" in outcome.where for outcome in result.outcomes)
    assert result.ended_by == "finding"


def both_orders(context):
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


def test_a_wrong_order_is_kept_and_the_run_goes_on():
    def role(context):
        both_orders(context)
        for _ in range(1000):
            with context.step("later"):
                pass

    with Session(workers=1, linger_s=LIMIT_S) as session:
        result = session.run(role)

    assert [f.verdict for f in result.findings] == ["order_violation"]
    assert (result.ended_by, result.steps) == ("done", 1000)
    assert outcomes(result) == [Passed]


def test_a_wrong_order_gives_the_real_deadlock_a_little_time_only():
    def role(context):
        both_orders(context)
        turn_until_told(context)

    with Session(workers=1, linger_s=0.2) as session:
        result = session.run(role)

    assert [f.verdict for f in result.findings] == ["order_violation"]
    assert result.ended_by == "finding"
    assert outcomes(result) == [Passed]
    assert result.duration_s >= 0.2


def test_a_worker_that_must_go_may_clean_up():
    def deaf(context):
        try:
            context.send("begun")
            spin_until(lambda: False)
        finally:
            context.send("cleaned")

    def run(limit_s):
        with Session(workers=2, time_limit_s=limit_s, grace_s=0.1) as session:
            return session.run(deaf)

    result = until_enough(run, lambda result: result.values().count("begun") == 2)

    assert sorted(result.values()) == ["begun", "begun", "cleaned", "cleaned"]
    assert outcomes(result) == [Hung, Hung]
    assert all("test_outcomes.py" in o.where or "roles.py" in o.where for o in result.outcomes)


def test_seeds_are_stable_and_differ_by_worker():
    def draw(seed):
        with Session(workers=3, seed=seed, watch=False) as session:
            result = session.run(lambda context: context.send((context.name, context.rng.random())))
        return dict(result.values())

    first, again, other = draw(1), draw(1), draw(2)

    assert first == again
    assert len(set(first.values()) | set(other.values())) == 6


def test_a_service_is_told_by_its_callable_and_is_no_stepper():
    def serve(context):
        channel, lock = context.arena.channel("calls"), context.arena.mutex("guard")
        lock.acquire()
        channel.sleep(lock, "idle", idle=True)

    def until_it_sleeps(context):
        # A wakeup reaches only those that sleep already: in a run that ended before it would reach no thread.
        spin_until(lambda: any(row.activity == "idle" for row in Roster(context.arena).rows()))

    with Session(workers=1, grace_s=LIMIT_S) as session:
        channel = session.arena.channel("calls")
        session.arena.mutex("guard")
        service = RoleSpec("server", serve, service=True, stop=channel.wakeup)
        result = session.run(until_it_sleeps, services=[service])

    assert outcomes(result) == [Passed, Passed]
    assert the(result, "server#0").service
    assert (result.findings, result.incidents) == ((), ())


def test_a_service_without_an_end_is_ended_with_the_run():
    with Session(workers=1, grace_s=0.1) as session:
        forever = RoleSpec("server", lambda _: spin_until(lambda: False), service=True)
        result = session.run(lambda _: None, services=[forever])

    assert outcomes(result) == [Passed, Killed]
    assert result.ok


@pytest.mark.parametrize(
    "make",
    [
        lambda: Session(workers=0),
        lambda: Session(mode="fibre"),  # type: ignore[arg-type]
        lambda: Session(stop_on=["nonsense"]),
        lambda: Session(noise="loud"),
        lambda: RoleSpec("a#b", die),
        lambda: RoleSpec("", die),
        lambda: RoleSpec("none", die, count=0),
        lambda: Session().run_roles([RoleSpec("only", die, service=True)]),
        lambda: Session().run_roles([RoleSpec("same", die), RoleSpec("same", die)]),
        lambda: Session(seats=4).run(die),
        lambda: Session().run(die, epochs=0),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(make):
    with pytest.raises(BadInput):
        make()


def test_a_role_that_cannot_travel_is_named(monkeypatch):
    generator = (n for n in range(3))
    monkeypatch.setattr(process_control, "single_threaded", lambda: False)

    with Session(workers=1) as session, pytest.raises(BadInput, match=r"\(worker\) cannot be sent"):
        session.run(lambda _: next(generator))
