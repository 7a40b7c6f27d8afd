"""What can be asked of a run, and what comes back: the two ends of ``stress.run.runner.run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from shlex import quote
from typing import Literal

import msgspec

from harness import outcome
from harness.errors import BadInput
from harness.outcome import Finding, Outcome
from vmcore.config import Config

SCHEMA = "hangdog.run/1"
DEFAULT_SCENARIO = "fork-storm"
DISKS = 2  # disk workers, so that writes overtake each other; a script has its own number
DEFAULT_SECONDS = 20.0  # of a scenario, which has no end of its own
MOST_WORKERS = 64
SETUP_S = 120.0  # usual ones take a second
NUMBERS = {  # the least that each may be, and a command that is right
    "seconds": (0.0, "hangdog run --seconds 20"),
    "stops": (0.0, "hangdog run --stops 2"),
    "switch_ms": (0.0, "hangdog run --mode thread --switch-ms 0.1"),
    "disk_ms": (0.0, "hangdog run --disk-ms 2"),
    "touches": (0.0, "hangdog run --trace pool --touches 1"),
    "tasks": (1, "hangdog run --trace pool --tasks 10"),
}
LIMITS = ("stall", "livelock", "frozen", "setup_limit")
LIMITS_EXAMPLE = "hangdog run --stall 30 --livelock 15 --frozen 2 --setup-limit 120"
COMPLETED = "completed"  # of a script: every cue was passed


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """One run.  Names are those of the command line's options; None means "the scenario's own".

    Exactly one of ``scenario`` and ``trace`` counts; with neither it is the default scenario.
    ``seconds`` ends a run early without that being a finding; a trace has no limit by itself.
    """

    scenario: str | None = None
    trace: str | None = None  # a shipped name or the path of a strace log
    defect: str | None = None
    script: str | None = None  # play the script of this defect (which need not be on)
    workers: int = 4
    mode: Literal["process", "thread"] = "process"
    seed: int = 1
    seconds: float | None = None  # a script must have ended by then, all else is merely stopped
    epochs: int | None = None
    noise: str | None = None  # a name of harness.probe.noise.PROFILES
    stops: float = 0.0  # SIGSTOP, and SIGCONT soon after, so often per second over all workers
    switch_ms: float | None = None  # thread mode: how long a thread keeps the interpreter
    checks: bool = True  # contracts (lock state at every vmcore call) on
    checked: bool = False  # every access to a record of the VM verifies its guard; contracts are on
    pages: int | None = None  # frames of the VM
    disk_ms: float | None = None  # mean extra time of a transfer
    disks: int | None = None
    tables: Mapping[str, int] = field(default_factory=dict)  # other sizes of vmcore.config.Config
    touches: float = 1.0  # a trace's page touches, as a multiple of the model's
    tasks: int | None = None  # only the first so many tasks of a trace
    dump_dir: str = ""
    arena_file: str | None = None
    watch_chains: bool = False  # every look at the run draws its longest shadow chains
    stall: float | None = None  # seconds of watched time; see harness.watch.detectors.history.Limits
    livelock: float | None = None  # a script may have its own
    frozen: float | None = None
    setup_limit: float = SETUP_S  # attended seconds that booting and setting up may take
    name: str = ""  # of the arena; empty: made from the scenario and the pid

    def __post_init__(self) -> None:
        """BadInput for what no run could be made of."""
        for refused, fact, hint in self._refusals():
            if refused:
                raise BadInput(fact, hint)

    def _refusals(self) -> Iterator[tuple[bool, str, str]]:
        """(is it so, what is wrong with it, a command that is right), in the order in which they count."""
        yield (
            bool(self.scenario and self.trace),
            f"scenario {self.scenario!r} and trace {self.trace!r}: a run has one of them",
            f"hangdog run --trace {self.trace}",
        )
        yield (
            bool(self.script and (self.scenario or self.trace)),
            f"script {self.script!r} and {self.scenario or self.trace!r}: a run has one of them",
            f"hangdog run --defect {self.script} --script",
        )
        yield (
            not 1 <= self.workers <= MOST_WORKERS,
            f"{self.workers} workers: there can be 1 to {MOST_WORKERS}",
            "hangdog run --workers 4",
        )
        # Times and rates that no clock could keep: the run would seem to hang.
        for option, (least, example) in NUMBERS.items():
            value = getattr(self, option)
            if value is not None:
                fact = f"{typed(option)} {value:g}: it is a number from {least:g} on"
                yield not least <= value < inf, fact, example
        yield self.seconds == 0, f"a run of {self.seconds} seconds does nothing", "hangdog run --seconds 20"
        yield (
            self.switch_ms == 0,
            f"{self.stops:g} stops a second, {self.switch_ms} ms: less than nothing",
            "hangdog run --stops 2",
        )
        yield (
            self.mode == "thread" and self.stops > 0,
            "--stops stops processes: with --mode thread all workers are one",
            "hangdog run --stops 2",
        )
        yield (
            self.mode == "process" and self.switch_ms is not None,
            "--switch-ms is for threads that share an interpreter",
            "hangdog run --mode thread --switch-ms 0.1",
        )
        for option in LIMITS:
            limit = getattr(self, option)
            if limit is not None:
                fact = f"{typed(option)} {limit:g}: a limit is a number of seconds above 0"
                yield not 0 < limit < inf, fact, LIMITS_EXAMPLE
        if self.epochs is not None:
            yield self.epochs < 1, f"a run of {self.epochs} epochs does nothing", "hangdog run --epochs 1"

    @property
    def what(self) -> str:
        """What is run, in a word: a scenario's name, or ``trace:configure``."""
        if self.script:
            return f"script:{self.script}"
        return f"trace:{self.trace}" if self.trace else self.scenario or DEFAULT_SCENARIO

    def command(self) -> str:
        """The command line that does the same again."""
        words = [
            "hangdog run",
            f"--trace {quote(self.trace)}" if self.trace else f"--scenario {quote(self.what)}",
        ]
        left_out = {"mode"} if self.mode == "process" else set()
        if self.script:
            words[1:] = [self._of_script()]
            left_out |= {"defect", "workers", "epochs", "touches", "tasks"}  # they change nothing there
            if not (self.noise not in (None, "none") or self.stops or self.disk_ms):
                left_out.add("seed")  # chance has no part in it
        for name, value in (
            ("defect", self.defect), ("workers", self.workers), ("mode", self.mode), ("seed", self.seed),
            ("seconds", self.seconds), ("epochs", self.epochs), ("noise", self.noise), ("pages", self.pages),
            ("stops", self.stops or None),
            ("stall", self.stall), ("livelock", self.livelock), ("frozen", self.frozen),
            ("setup-limit", self.setup_limit if self.setup_limit != SETUP_S else None),
            ("switch-ms", self.switch_ms),
            ("disk-ms", self.disk_ms), ("disks", self.disks),
            ("touches", self.touches if self.touches != 1.0 else None), ("tasks", self.tasks),
        ):  # fmt: skip
            if value is not None and name not in left_out:
                words.append(f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}")
        words += [f"--{name.replace('_', '-')} {value}" for name, value in sorted(self.tables.items())]
        return " ".join(words) + self._looked_at()

    def _of_script(self) -> str:
        if self.defect == self.script:
            return f"--defect {self.defect} --script"
        return f"--script {self.script}" + (f" --defect {self.defect}" if self.defect else "")

    def _looked_at(self) -> str:
        """What the command line would not take by itself: a script's defect may ask for less."""
        if self.checked:
            return " --checked"
        usual = True
        if self.script:
            from stress.defect import all_defects  # it stands above this file

            known = all_defects().get(self.script)
            usual = known.looks.get("checks", True) if known else True
        return "" if self.checks == usual else " --checks" if self.checks else " --no-checks"


class Progress(outcome.Progress, frozen=True, kw_only=True):
    """A look at a run that goes on, and at its VM."""

    steps_per_s: float  # since the last look
    faults: int
    longest_chain: int
    free_pages: int
    pages: int
    waiting: int  # workers that wait for a lock or sleep
    tasks_left: int | None = None  # of a trace
    chains: tuple[str, ...] = ()  # the longest ones, drawn, if asked for


OnProgress = Callable[[Progress], None]


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``hangdog run --json`` prints."""

    schema: str = SCHEMA
    seed: int
    scenario: str
    workers: int
    mode: str
    duration_s: float
    epochs: int
    steps: int
    steps_per_s: float
    counters: dict[str, int]
    checks: dict[str, int]
    space: dict[
        str, int
    ] = {}  # pages: used, minimum, hidden... (stress/oracles/hidden_pages.py); empty: no audit
    findings: list[Finding] = []
    notices: list[Finding] = []  # told with their evidence, not proved; without effect on the exit code
    limits: dict[str, float] = {}  # seconds of watched time
    outcomes: list[Outcome] = []
    incidents: list[str] = []
    ended_by: str = "done"
    reproduce: str = ""
    script: str = ""  # of a script: COMPLETED, or where it left the track

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 findings."""
        return 1 if self.findings else 0


def typed(option: str) -> str:
    """How an option is typed."""
    return f"--{option.replace('_', '-')}"


def tightest(given: Mapping[str, int]) -> str | None:
    """The table among those given that is the smallest part of its usual size; None when none was given."""
    usual = Config()
    return min(given, key=lambda name: given[name] / getattr(usual, name), default=None)
