"""The examples run, and find what they say they find."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180


def run(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_two_locks_hang_and_are_explained():
    said = run("two_lock_deadlock.py")

    assert said.stderr == ""
    assert said.returncode == 1
    report = said.stdout[said.stdout.index("deadlock   two locks") :]
    taken, waits = (f"(examples/two_lock_deadlock.py:{line} take_both)" for line in (19, 22))
    assert f"one#0 holds left[0] {taken} and waits for right[0] {waits}" in report
    assert f"other#0 holds right[0] {taken} and waits for left[0] {waits}" in report
    cycle = [line for line in report.splitlines() if line.startswith("  o")]
    assert [line.count("two_lock_deadlock.py:") for line in cycle] == [2, 2], (
        "where it was taken, where waited for"
    )
    assert (
        report.rstrip().splitlines()[-1] == f"try: {sys.executable} {ROOT / 'examples/two_lock_deadlock.py'}"
    )


def test_a_queue_is_handed_on_and_repaired_after_a_death():
    said = run("shared_queue.py")

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "400 put, 400 taken, 0 left",
        "queue[0] was held by a process that died: repaired",
        "1 put, 0 taken, 1 left",
    ]


def test_the_readme_program_with_a_missing_wakeup_names_it(tmp_path: Path):
    text = (ROOT / "README.md").read_text()
    program = text.split("```python own.py\n")[1].split("```")[0]
    before, wakeup, after = program.partition("            room.notify_all()\n")
    assert wakeup
    path = tmp_path / "mine.py"
    path.write_text(before + after)

    said = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert said.returncode == 1
    raised = said.stderr[said.stderr.index("harness.errors.FoundProblems: lost_wakeup:") :]
    assert "on room[0] until Queue" in raised
    assert raised.rstrip().splitlines()[-1] == f"try: {sys.executable} {path}"


def test_the_program_in_the_readme_runs(tmp_path: Path):
    text = (ROOT / "README.md").read_text()
    program = text.split("```python own.py\n")[1].split("```")[0]

    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (said.returncode, said.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [], "nothing was found, so nothing was written"
