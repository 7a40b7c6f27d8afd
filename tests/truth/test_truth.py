"""Every program of known truth must be judged rightly; a sample of them with every test run."""

import pytest

from tests.truth.program import PROGRAMS as DECLARED
from tests.truth.program import Program, judge
from tests.truth.programs import PROGRAMS
from tests.truth.runner import run_apart

QUICK = [name for name, it in PROGRAMS.items() if it.quick]
LEAST = 80


@pytest.mark.parametrize("name", QUICK)
def test_the_sample_is_judged_rightly(name):
    said = run_apart(name)

    assert said.outcome == "right", f"{said.outcome}: {said.why}"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in QUICK])
def test_every_program_is_judged_rightly(name):
    said = run_apart(name)

    assert said.outcome == "right", f"{said.outcome}: {said.why}"


def test_there_are_enough_programs_of_either_kind():
    healthy = [it for it in PROGRAMS.values() if it.truth is None]

    assert DECLARED is PROGRAMS
    assert len(PROGRAMS) >= LEAST
    assert len(healthy) * 4 >= len(PROGRAMS), "crying wolf is as bad as missing"


def one(truth, **facts):
    return Program("p", lambda _: None, truth, **facts)


def word(verdict, summary=""):
    return {"verdict": verdict, "summary": summary}


@pytest.mark.parametrize(
    ("it", "findings", "notices", "outcome"),
    [
        (one(None), [], [], "right"),
        (one(None), ["stall"], [], "wrong"),
        (one(None), [], ["stall"], "wrong"),
        (one(None, notices=frozenset({"stall"})), [], ["stall"], "right"),
        (one(None, notices=frozenset({"stall"})), ["stall"], [], "wrong"),
        (one(None, also=frozenset({"stall"})), ["stall"], [], "right"),
        (one(None, also=frozenset({"stall"})), ["stall", "stall"], [], "wrong"),
        (one("stall"), [], [], "missed"),
        (one("stall"), [], ["stall"], "missed"),
        (one("stall"), ["stall"], ["stall"], "right"),
        (one("stall"), ["stall", "stall"], [], "wrong"),
        (one("stall"), ["stall", "frozen"], [], "wrong"),
        (one("stall", also=frozenset({"frozen"})), ["stall", "frozen"], [], "right"),
        (one("stall", names=("m[0]",)), ["stall"], [], "wrong"),
        (one("frozen", notice_only=True), [], ["frozen"], "right"),
        (one("frozen", notice_only=True), ["frozen"], ["frozen"], "wrong"),
        (one("frozen", notice_only=True), [], [], "missed"),
    ],
)
def test_the_judge_judges(it, findings, notices, outcome):
    assert judge(it, [word(v) for v in findings], [word(v) for v in notices])[0] == outcome
