"""The end of a run: what we kill ourselves is no finding, and one death is one finding."""

import os
import re
import signal
from pathlib import Path

import pytest

from harness.outcome import Crashed, Failed
from harness.run import RoleSpec, Session
from harness.shm.roster import Roster
from tests.harness.run.roles import die, spin_until, until_enough
from tests.harness.run.test_outcomes import the


def keep_for_ever(context):
    """Only SIGKILL ends it, while it holds the lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    context.arena.mutex("kept").acquire()
    context.send("kept")
    spin_until(lambda: False)


def keep_and_fail(context):
    if context.index == 0:
        keep_for_ever(context)
    spin_until(lambda: context.arena.mutex("kept").holder())
    raise ValueError("what ends the run")


@pytest.mark.parametrize(
    ("role", "workers", "verdict"), [(keep_for_ever, 1, "hung"), (keep_and_fail, 2, "panic")]
)
def test_a_lock_whose_holder_we_killed_is_no_finding(role, workers, verdict, tmp_path):
    def run(limit_s):
        with Session(workers=workers, dump_dir=tmp_path, grace_s=0.5, name="ours") as session:
            return session.run(role, time_limit_s=limit_s if role is keep_for_ever else None)

    result = until_enough(run, lambda result: result.values() or [f.unlink() for f in tmp_path.iterdir()])

    assert result.values() == ["kept"], "it held no lock, this test would prove nothing"
    assert [one.verdict for one in result.findings] == [verdict]
    assert not result.notices
    assert {path.name for path in tmp_path.iterdir()} == {Path(one.dump).name for one in result.findings}
    assert "NotOwner" not in repr(result)


def test_what_our_kill_of_a_worker_does_to_the_others_is_no_finding(tmp_path):
    """A crash ends the run, and one that waits gets the lock of one that we have ended over it."""

    def keep(context):
        context.arena.mutex("kept").acquire()
        spin_until(lambda: False)

    def want(context):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is there when the keeper is gone
        lock = context.arena.mutex("kept")
        spin_until(lock.locked)
        lock.acquire()

    def fall(context):
        spin_until(lambda: [row for row in Roster(context.arena).rows() if row.activity == "wait mutex"])
        die(context)

    roles = [RoleSpec("keeper", keep), RoleSpec("waiter", want), RoleSpec("victim", fall)]
    with Session(dump_dir=tmp_path, name="ours") as session:
        result = session.run_roles(roles)

    waiter = the(result, "waiter#0")
    assert (type(waiter), waiter.error) == (Failed, "OwnerDied"), "it was not there: this would prove nothing"
    assert [one.verdict for one in result.findings] == ["crash"]
    assert not result.notices
    assert {path.name for path in tmp_path.iterdir()} == {Path(result.findings[0].dump).name}


def test_a_death_with_a_lock_is_one_finding(tmp_path):
    def role(context):
        lock = context.arena.mutex("precious")
        if context.index == 1:
            lock.acquire()
            die(context)
        spin_until(lock.holder)
        lock.acquire()

    with Session(workers=2, dump_dir=tmp_path, name="one") as session:
        result = session.run(role)

    (death,) = [one for one in result.findings if one.verdict in ("crash", "orphaned_lock")]
    for word in ("precious[", "worker#1", "SIGKILL"):
        assert word in death.summary
    assert re.search(r"test_killed_by_us\.py:\d+", death.summary + Path(death.dump).read_text())
    assert "worker#1" in death.workers


def test_forty_members_with_long_names_have_a_dump(tmp_path):
    def role(context):
        if context.index == 39:
            die(context)
        spin_until(lambda: False)

    with Session(workers=40, mode="thread", dump_dir=tmp_path, name="many: one") as session:
        result = session.run(role, name="a role, with blanks: 24b")

    assert {type(outcome) for outcome in result.outcomes} == {Crashed}
    (crash,) = [one for one in result.findings if one.verdict == "crash"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,120}", Path(crash.dump).name), crash.dump
    assert Path(crash.dump).is_file()


def take_in_turn(context):
    """One dies inside; a plain ``with`` of the next gives the lock up, and breaks it for all others."""
    lock = context.arena.mutex("counter")
    if context.index == 0:
        lock.acquire()
        os._exit(3)
    spin_until(lock.locked)
    while True:
        with lock:
            pass


@pytest.mark.parametrize("workers", [2, 4])
def test_who_meets_the_lock_that_a_death_broke_is_no_second_finding(workers):
    with Session(workers=workers) as session:
        result = session.run(take_in_turn)

    (found,) = result.findings
    assert found.verdict == "orphaned_lock"
    assert re.search(
        r"worker#0 \(pid \d+\) died inside \(exited with code 3\) with counter\[0\]", found.summary
    )
    # Which of the two is said depends on who was first: the worker that failed, or the watchdog's next look.
    known = r"(took it next and was told|was told and let it go unrepaired)"
    assert re.search(rf"worker#\d \(pid \d+\) {known}", found.summary)
