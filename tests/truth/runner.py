"""Run one program under a real watchdog and say whether what was said of it is true.

``run_here`` is for a process of its own (``python -m tests.truth --one NAME``): it becomes the reaper of
everything that the program starts, and kills what is left of it.  A healthy program is watched to
its own end; another one until its truth is told and for TAIL_S after that, so that a thing that
is told twice is seen.  ``run_apart`` starts such a process and reads its answer.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog
from tests.truth.program import PROGRAMS, Program, judge
from tests.truth.world import LIBC, PR_SET_CHILD_SUBREAPER, World

ROOT = Path(__file__).resolve().parents[2]
PERIOD_S = 0.004
TAIL_S = 0.7
LONGEST_S = 90.0  # of one program; none needs a third of it on an idle machine
LIMITS = {"stall_s": 300.0, "livelock_s": 300.0}  # what is certain must not need them


@dataclass
class Outcome:
    """What came of one program."""

    name: str
    truth: str | None
    outcome: str  # right, wrong, missed, broken
    why: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class Watched:
    """A watchdog on one world, and what it has said so far."""

    def __init__(self, world: World, it: Program) -> None:
        self.dog = Watchdog(world.a, None, limits=Limits(**(LIMITS | dict(it.limits))), with_stacks=False)
        self.findings: list[dict[str, Any]] = []

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [said(one) for one in self.dog.notices]

    def look(self) -> None:
        self.findings += [said(one) for one in self.dog.scan()]

    def finish(self) -> None:
        """The run ends now."""
        self.findings += [said(one) for one in self.dog.settle_notices()]


def said(finding: Any) -> dict[str, Any]:
    return {
        "verdict": finding.verdict,
        "summary": finding.summary,
        "after_s": getattr(finding, "detected_after_s", 0.0),
    }


def run_here(name: str) -> Outcome:
    """Run the program of this name below this process."""
    it = PROGRAMS[name]
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    world = World()
    watched = Watched(world, it)
    start = time.monotonic()
    driver = os.fork()
    if driver == 0:
        drive(world, it)
    try:
        problem = watch(watched, it, driver, start)
    except Exception:  # noqa: BLE001 - a watcher that dies is the worst outcome, and must be told as one
        problem = "the watcher died: " + traceback.format_exc(limit=-3)
    finally:
        clear_away()
    outcome, why = ("broken", problem) if problem else judge(it, watched.findings, watched.notices)
    return Outcome(name, it.truth, outcome, why, watched.findings, watched.notices, time.monotonic() - start)


def drive(world: World, it: Program) -> None:
    """The program itself; does not come back."""
    status = 1
    try:
        it.body(world)
        status = 0
    except BaseException:  # noqa: BLE001 - the runner reads the status
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def watch(watched: Watched, it: Program, driver: int, start: float) -> str:
    """Look until there is nothing more to come; what went wrong with the program itself, if anything."""
    left: float | None = None  # when to stop looking
    driving = True
    while left is None or time.monotonic() < left:
        watched.look()
        time.sleep(PERIOD_S)
        for pid, status in ended():
            driving = driving and pid != driver
            if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                return f"process {pid} of the program failed with status {os.WEXITSTATUS(status)}"
        if left is not None:
            continue
        over = not driving and not psutil.Process().children()
        if it.at_end and over:
            if told(watched, it):
                return "it was told before the end of the run"
            watched.finish()
        if over or (told(watched, it) and not it.at_end):
            left = time.monotonic() + TAIL_S
        elif time.monotonic() - start > LONGEST_S:
            return "" if it.truth and not driving else "it did not come to its end"
    if "orphaned_lock" in {it.truth, *it.also, *it.notices} and not it.at_end:
        watched.finish()  # a death that was told is not told again at the end
    return ""


def told(watched: Watched, it: Program) -> bool:
    """Has the truth come?  What must stay a notice is watched to the program's own end."""
    return not it.notice_only and any(one["verdict"] == it.truth for one in watched.findings)


def ended() -> list[tuple[int, int]]:
    found = []
    try:
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    except ChildProcessError:
        pass
    return found


def clear_away() -> None:
    """Kill everything below this process; nothing of a program outlives its run."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            try:
                child.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(children, timeout=1.0)
        ended()


def run_apart(name: str) -> Outcome:
    """Run it in a process of its own; a runner that gives no answer is a broken one."""
    command = [sys.executable, "-m", "tests.truth", "--one", name]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S + 60, check=False,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        outcome = Outcome(**json.loads(run.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        return Outcome(name, PROGRAMS[name].truth, "broken", f"rc {run.returncode}: {run.stderr[-600:]}")
    if outcome.outcome == "broken":
        outcome.why += "\n" + run.stderr[-1500:]
    return outcome


def as_json(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome))
