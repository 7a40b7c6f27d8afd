"""What a result says of itself: in one line to pytest, all of it in raise_for_findings()."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import FoundProblems, HarnessError
from harness.outcome import SHORT, Failed, Finding, Passed, RunResult
from harness.run import Session

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
LONG = "left#0 holds left[0] and waits for right[0]; " * 20
PASSED = Passed(worker="one#0", role="one")
DEADLOCK = Finding(id=1, verdict="deadlock", summary=LONG, dump="/tmp/a/" + "b" * 60 + "/x-1-deadlock.json")
PANIC = Finding(id=2, verdict="panic", summary="one#0 ended with ValueError: no", reproduce="python my.py")


def result_of(*findings: Finding, ended_by: str = "done") -> RunResult:
    return RunResult(outcomes=(PASSED,), findings=findings, steps=12, duration_s=1.25, ended_by=ended_by)


@pytest.mark.parametrize("shown", [str, repr])
def test_a_result_is_one_line_with_the_first_finding_and_its_dump(shown):
    line = shown(result_of(DEADLOCK, PANIC))

    assert len(line) <= SHORT
    assert "\n" not in line
    assert "2 findings: deadlock: left#0 holds left[0] and waits for right[0]" in line
    assert "-1-deadlock.json)" in line


def test_a_result_without_findings_says_how_it_ended():
    assert str(result_of()) == "ended by done: found nothing in 12 steps and 1.2 s"
    assert str(result_of(ended_by="time limit")).startswith("ended by time limit: found nothing")


def test_a_short_finding_is_not_cut():
    assert str(result_of(PANIC)) == "1 finding: panic: one#0 ended with ValueError: no"


@pytest.mark.parametrize("message", ["result", "str(result)"])
def test_pytest_shows_the_whole_line(tmp_path, message):
    """A program of the user's: ``assert result.ok, result``, as the documentation has it."""
    (tmp_path / "test_mine.py").write_text(
        "from tests.door.test_result import DEADLOCK, result_of\n"
        "def test_mine():\n"
        "    result = result_of(DEADLOCK)\n"
        f"    assert result.ok, {message}\n"
    )

    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "80", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert said.returncode == 1
    shown = result_of(DEADLOCK)
    assert f"AssertionError: {shown if message.startswith('str') else repr(shown)}" in said.stdout


def test_raise_for_findings_says_everything_and_what_to_type():
    with pytest.raises(FoundProblems) as caught:
        result_of(DEADLOCK, PANIC).raise_for_findings()

    error = caught.value
    assert str(error).splitlines() == [
        f"deadlock: {LONG}",
        f"  dump: {DEADLOCK.dump}",
        "panic: one#0 ended with ValueError: no",
        "try: python my.py",
    ]
    assert (error.findings, error.exit_code, error.hint) == ((DEADLOCK, PANIC), 1, "python my.py")
    assert isinstance(error, HarnessError)
    assert pickle.loads(pickle.dumps(error)).result == result_of(DEADLOCK, PANIC)


def test_raise_for_findings_gives_the_result_when_there_is_none():
    result = result_of()

    assert result.raise_for_findings() is result


def test_a_real_run_whose_worker_fails_is_raised_with_its_name():
    def work(context):
        raise ValueError(f"of {context.name}")

    with Session(workers=1) as session:
        result = session.run(work)

    assert isinstance(result.of("worker#0"), Failed)
    with pytest.raises(FoundProblems, match=r"worker#0.*ValueError"):
        result.raise_for_findings()
    assert "1 finding" in str(result)


PROGRAM = "import hangdog\nprint(hangdog.Session(workers=1).options['reproduce'])\n"


def said_by(*words: str, cwd: Path, program: str | None = None) -> str:
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        input=program,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    ).stdout.strip()


def test_the_reproduce_command_is_the_programs_own_with_quoted_arguments(tmp_path):
    (tmp_path / "my prog.py").write_text(PROGRAM)
    (tmp_path / "package.py").write_text(PROGRAM)

    assert said_by("my prog.py", "-n", "two words", "$x", cwd=tmp_path) == (
        f"{sys.executable} 'my prog.py' -n 'two words' '$x'"
    )
    assert said_by("-W", "error", "-m", "package", "a;b", cwd=tmp_path) == (
        f"{sys.executable} -W error -m package 'a;b'"
    )


@pytest.mark.parametrize("how", ["-c", "-"])
def test_what_was_not_a_command_to_type_again_is_none(tmp_path, how):
    words = ["-c", PROGRAM] if how == "-c" else ["-"]

    assert said_by(*words, cwd=tmp_path, program=PROGRAM) == ""


def test_a_child_that_was_spawned_names_its_parents_command(tmp_path):
    (tmp_path / "prog.py").write_text(
        "import multiprocessing\n"
        "from harness.run.arguments import own_command\n"
        "def child():\n"
        "    print(own_command(), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=child)\n"
        "    process.start()\n"
        "    process.join()\n"
    )

    assert said_by("prog.py", "two words", cwd=tmp_path).endswith("prog.py 'two words'")


def test_a_command_of_the_callers_own_wins_and_an_empty_one_is_none():
    assert Session(workers=1, reproduce="make it").options["reproduce"] == "make it"
    assert Session(workers=1, reproduce="").options["reproduce"] == ""
