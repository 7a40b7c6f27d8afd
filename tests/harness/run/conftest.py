"""Fronts that run as programs of their own, and a way to see every process that they started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S

ROOT = Path(__file__).resolve().parents[3]
MARK = "HANGDOG_TEST_MARK"


def wait_for(what: str, look: Callable[[], object]) -> None:
    """Poll with a deadline; used only for what another process does by itself."""
    deadline = time.monotonic() + LIMIT_S
    while not look():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.005)


class Program:
    """tests/programs/fronts.py with one of its programs; its processes are known by a mark they inherit."""

    def __init__(self, scene: str) -> None:
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(ROOT / "tests" / "programs" / "fronts.py"), scene],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, MARK: self.mark, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pids(self) -> dict[str, int]:
        return {key: int(value) for key, value in (pair.split("=") for pair in self.line().split())}

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out, err

    def alive(self) -> list[int]:
        """Every process with our mark, zombies aside."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if self.mark.encode() in (folder / "environ").read_bytes():
                        found.append(int(folder.name))
        return found

    def wait_until_nothing_is_left(self) -> None:
        wait_for("no process of the run is left", lambda: not self.alive())


@pytest.fixture
def front() -> Iterator[Callable[[str], Program]]:
    started: list[Program] = []

    def start(scene: str) -> Program:
        started.append(Program(scene))
        return started[-1]

    yield start

    for program in started:
        for pid in program.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.process.communicate(timeout=LIMIT_S)
