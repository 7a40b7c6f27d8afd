"""One run of hangdog beside which members are stopped and continued: started, disturbed, ended, kept.

Guarantees: a signal meets only what descends from our own child, through a descriptor of the process, so
never another one that has its number by now; what was stopped is continued; ``end`` leaves no process of the
run; a run in which nothing was found leaves no file.  Refuses to wait: ``turn`` looks, acts and returns.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import harness.locks  # noqa: F401 - arenas learn to make mutexes
from harness.errors import HarnessError
from harness.shm.arena import Arena
from harness.shm.roster import Roster

KINDS = ("worker", "service", "watchdog", "supervisor", "front", "helper")
SERVICES = ("pageout", "disk")
HELPERS = ("audit", "stop ")
STOP_S = (1.0, 12.0)
GAP_S = (0.2, 3.0)  # between the end of one stop and the next
PATIENCE_S = 4.0  # for a kind that is there only now and then, before another one is drawn
END_S = 60.0  # an interrupted run takes its parts home within seconds; a starved one needs more
SET_PDEATHSIG = 1
# A stopped process handles no signal: however we end, the kernel ends what is below.
_prctl = ctypes.CDLL(None).prctl


@dataclass(frozen=True)
class Order:
    """What is to be run."""

    number: int
    scenario: str
    mode: str
    checked: bool
    seed: int
    seconds: float

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number:04}-{self.scenario}-{self.mode}{'-checked' if self.checked else ''}"

    def command(self) -> list[str]:
        """What is typed after ``hangdog``."""
        asked = ["run", "--scenario", self.scenario, "--mode", self.mode, "--seed", str(self.seed)]
        return [*asked, "--seconds", f"{self.seconds:g}", *(["--checked"] if self.checked else []), "--json"]


@dataclass
class Stop:
    """One member, stopped and continued.  Times are seconds since the start of the run."""

    kind: str
    role: str
    pid: int
    at: float
    wanted: float
    lasted: float = 0.0
    holds: int = 0  # locks that the process held when it was stopped


@dataclass
class Account:
    """What became of a run."""

    order: Order
    exit_code: int | None  # None: it did not end within its limit
    took: float
    stops: list[Stop]
    findings: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0

    @property
    def clean(self) -> bool:
        """It ended by itself and found nothing."""
        return self.exit_code == 0 and not self.findings


class Run:
    """One run under way.  ``turn`` until ``over``, then ``account``; ``end`` in any case."""

    def __init__(self, order: Order, folder: Path, hangdog: Path, nice: int, limit_s: float) -> None:
        self.order, self.folder, self.limit_s = order, folder / order.name, limit_s
        self.rng = random.Random(f"{order.seed} stops")
        self.stops: list[Stop] = []
        self.stopped: int | None = None  # a descriptor of the process
        self.wish, self.due = "", 0.0
        self.arena: Arena | None = None
        self.late = False
        self.folder.mkdir(parents=True)
        command = [str(hangdog), *order.command(), "--dump-dir", str(self.folder / "dumps")]
        with open(self.folder / "run.json", "wb") as out, open(self.folder / "stderr", "wb") as err:
            self.front = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C is ours; we hand it on
                preexec_fn=lambda: begin_child(nice),  # noqa: PLW1509 - we have one thread
            )
        self.begun = time.monotonic()
        self.plan(0.0)

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def over(self) -> bool:
        """The front has ended, by itself or by us."""
        return self.front.poll() is not None

    # --- stopping

    def plan(self, now: float) -> None:
        """Draw which kind is next, and when."""
        self.wish, self.due = self.rng.choice(KINDS), now + self.rng.uniform(*GAP_S)

    def turn(self) -> None:
        """Stop or continue a member if it is time to."""
        now = self.now()
        if self.stopped is not None:
            if now - self.stops[-1].at >= self.stops[-1].wanted:
                self.go_on()
        elif now > self.limit_s:
            self.late = True
            self.picture()
            self.front.kill()
        elif now >= self.due:
            self.stop_one(now)

    def stop_one(self, now: float) -> None:
        """One of the wished kind; after a while without any, another kind is drawn."""
        chosen = [member for member in self.members() if member[0] == self.wish]
        if not chosen:
            if now > self.due + PATIENCE_S:
                self.plan(now)
            return
        kind, role, pid = self.rng.choice(chosen)
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return
        if not any(pid == other for _, _, other in self.members()):
            os.close(handle)  # it ended, and its number may be another process's
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGSTOP)
        self.stopped = handle
        self.stops.append(Stop(kind, role, pid, self.now(), self.rng.uniform(*STOP_S), holds=self.holds(pid)))

    def go_on(self) -> None:
        """Continue what is stopped."""
        if self.stopped is None:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.stopped, signal.SIGCONT)
        os.close(self.stopped)
        self.stopped = None
        self.stops[-1].lasted = self.now() - self.stops[-1].at
        self.plan(self.now())

    # --- who is there

    def members(self) -> list[tuple[str, str, int]]:
        """Kind, role and pid of everything that can be stopped now."""
        front = self.front.pid
        found = [("front", "front", front)]
        roles = self.roles()
        for supervisor in children(front):
            found.append(("supervisor", "supervisor", supervisor))
            for place, pid in enumerate(children(supervisor)):
                if pid in roles:
                    found.append((kind_of(roles[pid]), "+".join(roles[pid]), pid))
                elif place == 0:  # it is made before all others
                    found.append(("watchdog", "watchdog", pid))
                else:
                    found.append(("helper", "not seated yet", pid))
        return found

    def roles(self) -> dict[int, list[str]]:
        """Roles of the seats in the arena, by pid; empty before there is an arena."""
        found: dict[int, list[str]] = {}
        for row in self.seats():
            found.setdefault(row.pid, []).append(row.role)
        return found

    def holds(self, pid: int) -> int:
        """Locks held by a process."""
        return sum(row.depth for row in self.seats() if row.pid == pid)

    def seats(self) -> list[Any]:
        if self.arena is None:
            with suppress(HarnessError, OSError):
                self.arena = Arena.attach(pid=self.front.pid)
        return Roster(self.arena).rows() if self.arena is not None else []

    # --- the end

    def picture(self) -> None:
        """What a run that does not end is doing."""
        lines = [f"{kind} {role} {pid}: {waits_in(pid)}" for kind, role, pid in self.members()]
        (self.folder / "late").write_text("\n".join(lines) + "\n")

    def end(self) -> None:
        """Interrupt what still runs; what does not end in time is killed."""
        self.go_on()
        if not self.over:
            self.front.send_signal(signal.SIGINT)
            try:
                self.front.wait(END_S)
            except subprocess.TimeoutExpired:
                self.front.kill()  # the rest dies with its parents
                self.front.wait(END_S)
        if self.arena is not None:
            self.arena.close()
            self.arena = None

    def account(self) -> Account:
        """Read what it said; keep the folder only when that was not "nothing"."""
        took, code = self.now(), None if self.late else self.front.returncode
        self.end()
        try:
            said = json.loads((self.folder / "run.json").read_text())
        except ValueError:
            said = {}
        account = Account(
            self.order, code, took, self.stops, said.get("findings", []), said.get("notices", []),
            said.get("steps", 0),
        )  # fmt: skip
        if account.clean:
            shutil.rmtree(self.folder)
        else:
            (self.folder / "account.json").write_text(json.dumps(asdict(account), indent=1))
        return account


def begin_child(nice: int) -> None:
    """In the child: not more important than asked for, and never longer there than we are."""
    os.nice(nice)
    _prctl(SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def kind_of(roles: list[str]) -> str:
    """Of a process with seats, by what sits there."""
    if any(role.startswith(HELPERS) for role in roles):
        return "helper"
    if all(role.split("#")[0] in SERVICES for role in roles):
        return "service"
    return "worker"


def children(pid: int) -> list[int]:
    """Of a process with one thread, or of its first thread, in the order in which they were made."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def waits_in(pid: int) -> str:
    """State and kernel function of a process."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return f"{state} {Path(f'/proc/{pid}/wchan').read_text()}"
    except OSError:
        return "gone"
