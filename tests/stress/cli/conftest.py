"""The command line as a user has it: a process of its own, with a limit, nothing left of it."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from stress.cli.main import hangdog as group

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 120  # far more than any of these needs, also on a crowded machine; reaching it is a failure


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def two_lines(self) -> tuple[str, str]:
        """Fact and remedy of an error; anything else on standard error fails."""
        lines = self.err.splitlines()
        assert len(lines) == 2, self.err
        assert lines[0].startswith("hangdog: "), self
        assert lines[1].startswith("  try: "), self
        return lines[0].removeprefix("hangdog: "), lines[1].removeprefix("  try: ")


class Started:
    """A command in a session of its own, so that whatever it starts can be found and ended."""

    def __init__(self, words: tuple[str, ...], cwd: Path, **options: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **options.pop("env", {})}
        environment.pop("HANGDOG_DEBUG", None) if "HANGDOG_DEBUG" not in options else None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stress.cli.main", *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.pid = self.process.pid

    def wait(self, limit: float = LIMIT_S) -> Said:
        out, err = self.process.communicate(timeout=limit)
        return Said(self.process.returncode, out or "", err)

    def family(self) -> list[psutil.Process]:
        """Everything of its session that is still there; zombies are not."""
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self) -> None:
        for process in self.family():
            with suppress(psutil.Error):
                process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=5)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(*words: str, **options: Any) -> Started:
        started.append(Started(words, options.pop("cwd", tmp_path), **options))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@pytest.fixture
def hangdog(start: Callable[..., Started]) -> Callable[..., Said]:
    def run(*words: str, **options: Any) -> Said:
        return start(*words, **options).wait()

    return run


def interrupt(started: Started) -> None:
    os.kill(started.pid, signal.SIGINT)


def parses(command: str) -> None:
    """A usage error, unless this is a command line of ours."""
    _, name, *words = shlex.split(command)
    outer = click.Context(group)
    found = group.get_command(outer, name)
    assert found is not None
    found.make_context(name, words, parent=outer).close()
