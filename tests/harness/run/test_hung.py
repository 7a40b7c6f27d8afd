"""A worker that does not come to its end, and the limits that say so."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput
from harness.outcome import Crashed, Hung, Passed
from harness.run import RoleSpec, Session
from harness.watch import dump
from tests.harness.run.roles import spin_until, turn_until_told
from tests.harness.run.test_outcomes import the

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
