"""``ps`` and ``dump`` against arenas of other processes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S, wait_until

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tests" / "programs" / "two_locks.py"


@pytest.fixture
def two_locks() -> Iterator[Callable[[str], int]]:
    """Start the program and return its pid once both processes hold their first lock."""
    started: list[subprocess.Popen[str]] = []

    def begin(what: str) -> int:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), what],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)


def arena_of(hangdog, pid):
    said = hangdog("ps", "--json")
    assert said.code == 0, said
    return next((arena for arena in json.loads(said.out) if arena["pid"] == pid), None)


def test_ps_names_the_arena_its_roles_and_what_each_is_doing(hangdog, two_locks):
    pid = two_locks("hang")

    def both_wait():
        arena = arena_of(hangdog, pid)
        return arena if arena and all(thread["waits_for"] for thread in arena["threads"]) else None

    arena = wait_until(both_wait, "both in their waits", 2 * LIMIT_S)
    text = hangdog("ps").out

    assert (arena["name"], arena["workers"], arena["roles"]) == ("two_locks", 2, {"parent": 1, "child": 1})
    assert {t["role"]: (t["holds"], t["waits_for"]) for t in arena["threads"]} == {
        "parent": (["alpha[0]"], "beta[0]"),
        "child": (["beta[0]"], "alpha[0]"),
    }
    assert f"two_locks  pid {pid}, 2 processes" in text
    assert "waits for beta[0] (mutex)" in text


def test_ps_without_arenas_is_an_empty_list(monkeypatch, capsys):
    from stress.cli import ps
    from stress.cli.main import outcome

    monkeypatch.setattr(ps, "running", list)

    assert outcome(["ps", "--json"]) == 0
    assert outcome(["ps"]) == 0
    assert capsys.readouterr().out == "[]\nno arena of this user is running\n"


def test_a_hang_is_explained_from_outside(hangdog, two_locks, tmp_path):
    pid = two_locks("hang")
    wait_until(lambda: hangdog("dump", str(pid)).code == 1, "a dump with the deadlock", 2 * LIMIT_S)

    said = hangdog("dump", str(pid), "--out", "hang.json")
    shown = hangdog("show", "hang.json")
    plain = json.loads(hangdog("show", "hang.json", "--json").out)

    assert said.out == "wrote hang.json\n"
    assert shown.code == 0
    first = shown.out.splitlines()[:2]
    assert first[0].startswith("deadlock")
    line = r"\(\S*two_locks\.py:\d+ \w+\)"
    assert re.search(rf"parent holds alpha\[0\] {line} and waits for beta\[0\] {line}", first[1])
    assert re.search(rf"child holds beta\[0\] {line} and waits for alpha\[0\] {line}", first[1])
    assert "two_locks.py:" in shown.out
    assert shown.out.splitlines()[-1] == f"try: hangdog dump {pid}"
    assert plain["schema"] == "hangdog.dump/1"


def test_looking_disturbs_nothing(hangdog, two_locks):
    pid = two_locks("calm")
    before = wait_until(lambda: asleep(pid), "the wait for its standard input")

    said = hangdog("dump", str(pid), "--json")

    dump = json.loads(said.out)
    assert said.code == 0
    assert dump["verdict"] == "live"
    assert {seat["role"] for seat in dump["threads"]} == {"parent", "child"}
    assert [len(seat["stack"]) for seat in dump["threads"]] == [0, 0]
    assert moved(pid) == before


def asleep(pid: int) -> tuple[str, ...] | None:
    found = moved(pid)
    return found if any("S (sleeping)" in line for line in found) else None


def moved(pid: int) -> tuple[str, ...]:
    """What a signal or a stop would have changed: context switches by themselves, signals pending."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return tuple(line for line in lines if line.startswith(("voluntary", "SigPnd", "ShdPnd", "State")))


def test_a_process_without_an_arena_is_said_so(hangdog):
    said = hangdog("dump", str(os.getppid()))

    fact, remedy = said.two_lines()
    assert said.code == 2
    assert fact == f"process {os.getppid()} is not an arena: it has no arena open"
    assert remedy == "hangdog ps"


def test_a_dead_process_is_said_so(hangdog):
    gone = subprocess.Popen(["true"])
    gone.wait(LIMIT_S)

    said = hangdog("dump", str(gone.pid))

    assert said.code == 2
    assert said.two_lines() == (f"cannot open process {gone.pid}: there is no such process", "hangdog ps")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
def test_a_process_of_another_user_is_said_so(two_locks):
    pid = two_locks("calm")
    script = (
        "import os, sys\n"
        "from stress.cli.main import main\n"
        "import stress.cli.dump\n"  # imported while we may still read the tree
        "os.setgid(65534); os.setuid(65534)\n"
        "main(['dump', sys.argv[1]])\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", script, str(pid)],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert said.returncode == 2
    assert (
        said.stderr == f"hangdog: cannot open process {pid}: it belongs to another user\n  try: hangdog ps\n"
    )


@pytest.mark.parametrize("target", ["no-such-file", "-1", "12x"])
def test_a_target_that_is_nothing_is_a_usage_error(hangdog, target):
    said = hangdog("dump", "--", target)

    assert said.code == 2
    assert repr(target) in said.two_lines()[0]


def test_a_file_that_is_no_arena_is_said_so(hangdog, tmp_path):
    (tmp_path / "core").write_bytes(b"x" * 100_000)

    said = hangdog("dump", "core")

    assert said.code == 2
    assert "core is not an arena" in said.two_lines()[0]
