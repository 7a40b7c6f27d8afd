"""Generated programs: drawn, printed, shrunk; a planted mistake is found, and R's are clean."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import BadInput
from stress.fuzz.execute import Runner, hunt
from stress.fuzz.programs import KINDS, MOST_OPERATIONS, Program, draw, failures, shrink
from stress.fuzz.scenario_file import as_scenario
from stress.scenario.scenario import find_scenario, load_scenario

ROOT = Path(__file__).resolve().parents[3]
HUNT_S = 9.0
LIMIT_S = 180.0
NEEDED = (("write", 1, 2), ("leave", 0))


def saved(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(as_scenario(program, path=str(path)))
    return str(path)


def hangdog(*words):
    return subprocess.run(
        [sys.executable, "-m", "stress.cli.main", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def has_both(program):
    """Stands for a race that needs one operation of each of two roles."""
    return any(NEEDED[0] in role for role in program.roles) and any(
        NEEDED[1] in role for role in program.roles
    )


# --- what a program is


def test_a_seed_gives_one_program_within_the_bounds():
    programs = [draw(seed) for seed in range(200)]

    assert programs == [draw(seed) for seed in range(200)]
    assert {len(program.roles) for program in programs} == {2, 3, 4}
    assert max(len(role) for program in programs for role in program.roles) == MOST_OPERATIONS
    assert {operation[0] for program in programs for role in program.roles for operation in role} == set(
        KINDS
    )


def test_the_printed_file_holds_the_same_program(tmp_path):
    program = draw(7)
    path = saved(program, tmp_path)

    assert runpy.run_path(path)["program"] == program
    scenario = find_scenario(path)
    assert scenario.name == path
    assert [role.count for role in scenario.roles] == [1] * len(program.roles)


# --- shrinking


def test_shrinking_ends_at_the_operations_that_are_needed():
    roles = draw(11).roles[0], draw(12).roles[0]
    program = Program(((*roles[0], NEEDED[0]), (NEEDED[1], *roles[1]), draw(13).roles[0]))

    small = shrink(program, 1, 1, lambda one, _number: "lost" if has_both(one) else None)

    assert small.size() == 2
    assert has_both(small)


def test_a_program_must_fail_k_times_and_is_not_run_longer_than_that_takes():
    runs = []

    def sometimes(_program, number):
        runs.append(number)
        return "lost" if number % 2 else None

    assert failures(draw(1), sometimes, 2, 5) == ["lost", "lost"]
    assert runs == [0, 1, 2, 3]
    runs.clear()
    assert len(failures(draw(1), sometimes, 3, 4)) < 3
    assert runs == [0, 1, 2]  # two of three were clean: three failures cannot be reached


def test_a_rare_failure_does_not_shrink_to_something_that_never_fails():
    program = Program(((NEEDED[0], NEEDED[1], ("fork", 0)),))
    small = shrink(program, 2, 4, lambda one, number: "lost" if has_both(one) and number % 2 else None)

    assert small.roles == ((NEEDED[0], NEEDED[1]),)


# --- real runs


def test_a_planted_mistake_is_found_shrunk_and_found_by_its_file(tmp_path):
    caught = hunt(1, HUNT_S, "H3", k=2, n=2, repeat=1)

    assert caught is not None
    assert caught.failed == caught.repetitions == 2
    assert caught.program.size() < caught.first.size()
    path = saved(caught.program, tmp_path)
    workers = str(len(caught.program.roles))
    said = hangdog(
        "run", "--scenario", path, "--workers", workers, "--defect", "H3", "--seconds", "20",
        "--dump-dir", str(tmp_path),
    )  # fmt: skip
    assert said.returncode == 1, said.stderr
    assert list(tmp_path.glob("*.json")) or list(tmp_path.glob("*dump*"))


@pytest.mark.parametrize("seed", [21, 22])
def test_without_a_mistake_generated_programs_come_to_a_good_end(seed):
    assert Runner().once(draw(seed), 0) is None


SET_UP = """
import signal

from harness.errors import SelfDeadlock
from stress.scenario.scenario import Scenario

scenario = Scenario("broken set-up")


@scenario.setup
def broken(actor, pool):
    lock = actor.vm.arena.mutex("kept")
    lock.acquire()
    {how}


@scenario.role("player")
def never_played(actor, pool):
    raise AssertionError("the set-up did not end")
"""


@pytest.mark.parametrize(
    ("how", "limit_s", "verdict"),
    [("while True: signal.pause()", 1.0, "hung"), ("lock.acquire()", 1000.0, "self_deadlock")],
)
def test_a_mistake_that_shows_in_the_set_up_is_a_verdict(tmp_path, how, limit_s, verdict):
    path = tmp_path / "program.py"
    path.write_text(SET_UP.format(how=how))

    assert Runner(limit_s=limit_s).play(str(path), draw(1), 0) == verdict


def test_a_hunt_without_a_mistake_says_that_it_found_nothing():
    assert hunt(5, 0.5, repeat=1) is None


# --- files that are none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "FileNotFoundError"),
        ("scenario = (", "SyntaxError"),
        ("import stress.nothing", "ModuleNotFoundError"),
        ("x = 1", "it has no 'scenario"),
        ("scenario = 1", "it has no 'scenario"),
    ],
)
def test_a_file_that_holds_no_scenario_is_refused_by_name(text, said, tmp_path):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)

    with pytest.raises(BadInput, match=said) as caught:
        load_scenario(str(path))

    assert str(path) in str(caught.value)
    assert caught.value.hint == "hangdog list scenarios"


def test_the_command_line_refuses_a_path_that_is_none():
    said = hangdog("run", "--scenario", "/nowhere/mine.py")

    assert said.returncode == 2
    assert said.stderr.splitlines()[0].startswith("hangdog: /nowhere/mine.py: no scenario can be read")
