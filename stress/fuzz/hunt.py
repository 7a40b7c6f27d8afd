"""A hunt: programs are drawn and played until one fails; that one is shrunk.

A program is played several times, by real workers in a world of its own, under seeded noise and with every
oracle.  It goes through a file like the one that is kept in the end, so what was shrunk is what
``hangdog run --scenario FILE`` plays.  A race proves nothing once: a smaller program is taken only when it
fails as often as the first one did, and a program that was judged is not judged again.

Guarantees: nothing is written outside a folder that goes with the hunt, until a failure is kept.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from pathlib import Path
from typing import Final

import msgspec

from harness.errors import BadInput
from harness.outcome import Finding
from harness.watch import dump as dumps
from stress.fuzz.draw import programs, search
from stress.fuzz.programs import MOST_ROLES, Program
from stress.fuzz.scenario_file import as_scenario
from stress.run.options import MOST_WORKERS, RunOptions
from stress.run.runner import run

REPEATS = 2  # runs of a program that is drawn; one that fails is enough to look closer
OFTEN, OF = 2, 3  # a smaller one must fail so often, in so many runs
LIMIT_S = 60.0  # a run lasts a second; the watchdog ends what hangs, and this a machine that is too slow
LEAST_SIZE = 8  # operations of a program that is worth a run, while none has failed
MOST_SHRINKING_S = 240.0
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class HuntOptions:
    """One hunt.  ``base``: what all runs have in common; its scenario, workers and limits are set here."""

    base: RunOptions
    examples: int | None = None  # programs to be drawn; None: as many as the time allows
    seconds: float | None = None  # of drawing; shrinking has as much again, at most MOST_SHRINKING_S
    workers: int | None = None  # of every program; None: one per role
    epochs: int = 1  # of every run

    def __post_init__(self) -> None:
        """BadInput for what no hunt could be made of."""
        for option, value, most, hint in (
            ("examples", self.examples, inf, "hangdog fuzz --examples 20"),
            ("epochs", self.epochs, inf, "hangdog fuzz --epochs 1"),
            ("workers", self.workers, MOST_WORKERS, "hangdog fuzz --workers 4"),
        ):
            if value is not None and not 1 <= value <= most:
                to = f" to {most:g}" if most < inf else " on"
                raise BadInput(f"--{option} {value}: it is a number from 1{to}", hint)
        if self.seconds is not None and not 0 < self.seconds < inf:
            raise BadInput(
                f"--seconds {self.seconds:g}: it is a number above 0",
                "hangdog fuzz --seconds 60",
            )

    @property
    def most_roles(self) -> int:
        """A role that no worker plays says nothing."""
        return min(self.workers or MOST_ROLES, MOST_ROLES)

    @property
    def drawing_s(self) -> float:
        """Seconds of drawing; without a limit when only their number is given."""
        return self.seconds or (inf if self.examples else DEFAULT_SECONDS)

    @property
    def shrinking_s(self) -> float:
        """Seconds of shrinking."""
        return min(self.seconds or MOST_SHRINKING_S, MOST_SHRINKING_S)


@dataclass(frozen=True, kw_only=True)
class Caught:
    """A program that fails."""

    program: Program
    finding: Finding  # of one of its runs
    failed: int  # runs, of so many:
    runs: int
    options: RunOptions  # of that run
    kept: bool = False  # in a file, which is the scenario of the options


@dataclass
class Progress:
    """A hunt so far."""

    began: float = field(default_factory=time.monotonic)
    drawn: int = 0  # programs that were played while none had failed
    runs: int = 0
    cut: int = 0  # of them were ended by the clock: the machine is too slow for it
    first: Program | None = None  # that failed
    caught: Caught | None = None  # the smallest so far
    ended_by: str = ""  # finding, examples, time limit, interrupt


class Ended(BaseException):
    """The hunt is over.  No ``Exception``: Hypothesis must not take it for a failure."""


class Hunt:
    """One hunt; ``tell`` is called after every program, and raises KeyboardInterrupt to end it."""

    def __init__(self, options: HuntOptions, tell: Callable[[Progress], None]) -> None:
        self.options, self.tell = options, tell
        self.so_far: Final = Progress()
        self.judged: dict[Program, bool] = {}
        self.often = OFTEN
        self.until = self.so_far.began + options.drawing_s

    def hunt(self, keep: Callable[[Caught], Caught]) -> Progress:
        """Until something is found and shrunk, or the options or an interrupt end it.

        ``keep``: called in the end, if something was found, while its dump is there.
        """
        seed = self.options.base.seed
        with tempfile.TemporaryDirectory(prefix="hangdog-fuzz-") as folder:
            self.folder = Path(folder)
            try:
                search(programs(seed, self.options.most_roles), self.fails, seed)
            except Ended:
                pass
            except KeyboardInterrupt:
                self.so_far.ended_by = "interrupt"
            if self.so_far.caught is not None:
                self.so_far.ended_by = self.so_far.ended_by or "finding"
                self.so_far.caught = keep(self.so_far.caught)
        return self.so_far

    def fails(self, program: Program) -> bool:
        """What Hypothesis asks; the same answer for the same program, so that no answer looks flaky."""
        if program not in self.judged:
            if not self._is_worth_a_run(program):
                return False
            self._end_when_due()
            self.judged[program] = self._judge(program)
            self.tell(self.so_far)
        return self.judged[program]

    def _is_worth_a_run(self, program: Program) -> bool:
        """Drawn: not too small to race.  To shrink: smaller than what fails already."""
        caught = self.so_far.caught
        if caught is not None:
            return 0 < program.size() < caught.program.size()
        return program.size() >= LEAST_SIZE and len(program.roles) >= min(2, self.options.most_roles)

    def _end_when_due(self) -> None:
        """Ended when it has been long enough, or enough were drawn; one is always played."""
        found, so_far = self.so_far.caught is not None, self.so_far
        if so_far.drawn and time.monotonic() >= self.until:
            so_far.ended_by = "finding" if found else "time limit"
            raise Ended
        if not found and so_far.drawn == self.options.examples:
            so_far.ended_by = "examples"
            raise Ended

    def _judge(self, program: Program) -> bool:
        so_far = self.so_far
        if so_far.caught is None:
            so_far.drawn += 1
            if (caught := self.repeated(program, 1, REPEATS)) is None:
                return False
            so_far.first, so_far.caught = program, caught
            self.until = time.monotonic() + self.options.shrinking_s
            if often := self.repeated(program, OFTEN, OF):
                so_far.caught = often
            else:
                self.often = 1  # it is rare: once is all that can be asked of a smaller one
            return True
        smaller = self.repeated(program, self.often, OF)
        so_far.caught = smaller or so_far.caught
        return smaller is not None

    def repeated(self, program: Program, often: int, of: int) -> Caught | None:
        """Play it until it failed so often; None as soon as it cannot any more in so many runs."""
        failed, caught = 0, None
        for number in range(of):
            options = self.options_of(program, number)
            finding = self.play(program, options)
            if finding is not None:
                failed += 1
                caught = Caught(
                    program=program, finding=finding, failed=failed, runs=number + 1, options=options
                )
            if failed == often:
                return caught
            if failed + of - 1 - number < often:
                return None
        return None

    def options_of(self, program: Program, number: int) -> RunOptions:
        """One run of a program."""
        return replace(
            self.options.base,
            scenario=str(self.folder / "program.py"),
            workers=self.options.workers or len(program.roles),
            seed=program.seed * 31 + number,
            epochs=self.options.epochs,
            seconds=LIMIT_S,
            dump_dir=str(self.folder),
            name=f"program-{os.getpid()}-{self.so_far.runs}",
        )

    def play(self, program: Program, options: RunOptions) -> Finding | None:
        """What one run found first."""
        self.so_far.runs += 1
        Path(str(options.scenario)).write_text(as_scenario(program), encoding="utf-8")
        report = run(options, linger_s=0.0)  # one finding is enough
        self.so_far.cut += report.ended_by == "time limit"
        if not report.findings and report.ended_by == "interrupt":
            raise KeyboardInterrupt
        return report.findings[0] if report.findings else None


def kept(caught: Caught, folder: Path) -> Caught:
    """The same with its scenario and its dump in this folder; there they say how to play it again.

    Errors: OSError and DumpError when they could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = free_name(folder / f"program-{caught.program.seed}.py")
    options = replace(caught.options, scenario=str(path), epochs=None, seconds=None)
    about = f"A program that fails: {caught.finding.verdict}, in {caught.failed} of {caught.runs} runs."
    path.write_text(as_scenario(caught.program, about, options.command()), encoding="utf-8")
    dump = caught.finding.dump
    if dump:
        found = dumps.read(Path(dump))
        told = msgspec.structs.replace(found, scenario=str(path), reproduce=options.command())
        dump = str(dumps.write(path.with_suffix(".json"), told))
    finding = msgspec.structs.replace(caught.finding, dump=dump, reproduce=options.command())
    return replace(caught, finding=finding, options=options, kept=True)


def free_name(first: Path) -> Path:
    """The path, or the first like it that no earlier hunt has taken; made now, empty."""
    path = first
    for number in count(2):
        try:
            path.open("x").close()
        except FileExistsError:
            path = first.with_name(f"{first.stem}-{number}{first.suffix}")
        else:
            break
    return path
