"""Detection: is every defect of the catalogue found, how soon, and is the VM without it clean?

For each defect and each seed two runs with the same options: one with the defect, which ends at its
first finding or when its budget is spent, and one of R, as long as the first one took.  Neither the
watchdog nor an oracle is told what is on.  With ``scripts`` both play the defect's script instead.
A trial has three outcomes: found, not found, and could not run, which says nothing about the defect.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.watch import dump as dumps
from harness.watch.render.text import head_of
from stress.defect import Defect, find_defect
from stress.dump_sections.sections import CANNOT_BE, JOURNEY, RULES
from stress.run.options import COMPLETED, RunOptions, RunReport
from stress.run.runner import run

HEAD_LINES, SECTION_LINES = 16, 8  # of a dump's excerpt
TELLING = (RULES, CANNOT_BE, JOURNEY)  # the sections that say something about the mistake
NOT_SHOWN = ("/tmp/", "site-packages/")  # files of this machine, frames of libraries
NOT_ALL_FOUND = 1  # the exit code
LEAST_S = 2.0  # of R, however soon the defect was found
DUMPS = "hangdog-dumps"  # of R alone: a finding there is a bug of ours


class DetectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How defects are to be looked for."""

    budget_s: float = 60.0  # of one run with a defect
    seeds: int = 1
    scripts: bool = False  # follow the scripts instead of chance
    pairs: bool = False  # what is run are defects two at a time; for the page alone
    chosen: str = ""  # ids and filters as typed, empty: the whole catalogue; for the page alone


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run with a defect, and one without."""

    seed: int
    verdict: str = ""  # the first right one, else the first; empty: nothing was found
    right: bool = False
    seconds: float = 0.0  # from the start of the workers to the finding, else the whole run
    steps: int = 0
    epoch: int = 0  # completed ones; the first finding came in the next
    excerpt: tuple[str, ...] = ()  # of the dump
    reproduce: str = ""
    clean_without: bool = True
    found_without: tuple[str, ...] = ()
    note: str = ""  # a script that left its track
    error: str = ""  # the harness failed: neither found nor missed
    error_code: int = 0


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """All trials of one defect."""

    id: str
    name: str
    origin: str
    scenario: str
    expected: tuple[str, ...]
    asked: int  # seeds; an interrupted detection has fewer trials
    trials: tuple[Trial, ...] = ()

    @property
    def made(self) -> list[Trial]:
        """Trials in which both runs could be made."""
        return [trial for trial in self.trials if not trial.error]

    @property
    def failed(self) -> list[Trial]:
        """Trials that could not run."""
        return [trial for trial in self.trials if trial.error]

    @property
    def detected(self) -> int:
        """Trials in which something was found."""
        return sum(bool(trial.verdict) for trial in self.made)

    @property
    def right(self) -> int:
        """Trials in which one of the expected verdicts was among the findings."""
        return sum(trial.right for trial in self.made)

    @property
    def clean(self) -> int:
        """Trials in which R was clean."""
        return sum(trial.clean_without for trial in self.made)

    @property
    def found(self) -> list[Trial]:
        """Trials with a right verdict; times are theirs."""
        return [trial for trial in self.made if trial.right]

    @property
    def ok(self) -> bool:
        """Found with every seed asked for, with a right verdict, and never without the defect."""
        return self.right == self.clean == self.asked

    @property
    def median_s(self) -> float | None:
        """Median time to a right finding."""
        return round(median(trial.seconds for trial in self.found), 2) if self.found else None

    @property
    def worst_s(self) -> float | None:
        """Longest time to a right finding."""
        return round(max(trial.seconds for trial in self.found), 2) if self.found else None

    @property
    def steps(self) -> int | None:
        """Median number of operations of all workers until then."""
        return int(median(trial.steps for trial in self.found)) if self.found else None

    @property
    def epoch(self) -> int | None:
        """The first epoch in which a trial found it, from 1."""
        return min(trial.epoch for trial in self.found) + 1 if self.found else None


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all of them.  Interrupted: the last one may lack trials, the rest is missing."""

    detections: tuple[Detection, ...]
    interrupted: bool = False

    @property
    def made(self) -> int:
        """Trials, of all of them."""
        return sum(len(one.trials) for one in self.detections)

    @property
    def failed(self) -> list[Trial]:
        """Trials that could not run, of all of them."""
        return [trial for one in self.detections for trial in one.failed]

    @property
    def exit_code(self) -> int:
        """0: every defect found, R clean; that of the worst error when a run could not be made; else 1."""
        if self.failed:
            return max(trial.error_code for trial in self.failed)
        return 0 if all(one.ok for one in self.detections) else NOT_ALL_FOUND


OnTrial = Callable[[Detection, Trial], None]


def detect(defects: Iterable[Defect], options: DetectOptions, on_trial: OnTrial | None = None) -> Detected:
    """Look for each of them.  Ends early, with what there is, when it is interrupted."""
    found: list[Detection] = []
    try:
        for defect in defects:
            detection = Detection(
                id=defect.id,
                name=defect.name,
                origin=defect.origin,
                scenario=f"script:{defect.id}" if options.scripts else defect.scenario,
                expected=defect.verdicts,
                asked=options.seeds,
            )
            found.append(detection)
            for seed in range(1, options.seeds + 1):
                trial = one_trial(defect, options, seed)
                found[-1] = detection = msgspec.structs.replace(detection, trials=(*detection.trials, trial))
                if on_trial is not None:
                    on_trial(detection, trial)
    except KeyboardInterrupt:
        return Detected(detections=tuple(one for one in found if one.trials), interrupted=True)
    return Detected(detections=tuple(found))


def one_trial(defect: Defect, options: DetectOptions, seed: int) -> Trial:
    """Both runs.  KeyboardInterrupt also when it was a run that noticed the interrupt."""
    now = run_options(defect, options, seed, options.budget_s)
    try:
        with tempfile.TemporaryDirectory(prefix="hangdog-detect-") as folder:
            trial = trial_of(defect, uninterrupted(replace(now, dump_dir=folder)))
        seconds = max(LEAST_S, min(trial.seconds, options.budget_s))
        if options.scripts:  # it ends by itself, and must be given the time to
            seconds = options.budget_s
        now = run_options(defect, options, seed, seconds, DUMPS, without=True)
        without = uninterrupted(now)
    except HarnessError as error:
        said = f"{type(error).__name__}: {error}"
        return Trial(
            seed=seed, error=said, error_code=error.exit_code, clean_without=False, reproduce=now.command()
        )
    told = tuple(f"{one.verdict}: {one.summary} (hangdog show {one.dump})" for one in without.findings)
    return msgspec.structs.replace(trial, clean_without=not told, found_without=told)


def uninterrupted(options: RunOptions) -> RunReport:
    """A run that came to its own end: what an interrupted one did not find says nothing."""
    report = run(options)
    if report.ended_by == "interrupt":
        raise KeyboardInterrupt
    return report


def asked_of_run(defect: Defect, script: bool = False) -> dict[str, Any]:
    """What a defect asks of a run: by chance its scenario and options, step by step what is looked at.

    The command line, detection, tests and the benchmark all run a defect with these.
    """
    if script:
        return {"script": defect.id, **defect.looks}
    return {"scenario": defect.scenario, **defect.options}


def run_options(
    defect: Defect, options: DetectOptions, seed: int, seconds: float, folder: str = "", without: bool = False
) -> RunOptions:
    """The options of one run."""
    return RunOptions(
        **asked_of_run(defect, options.scripts),
        defect=None if without else defect.id,
        seed=seed,
        seconds=seconds,
        dump_dir=folder,
    )


def trial_of(defect: Defect, report: RunReport) -> Trial:
    """What came of the run with the defect."""
    right = [finding for finding in report.findings if finding.verdict in defect.verdicts]
    shown = right[:1] or report.findings[:1]
    return Trial(
        seed=report.seed,
        verdict=shown[0].verdict if shown else "",
        right=bool(right),
        seconds=round(shown[0].at_s if shown else report.duration_s, 2),
        steps=report.steps,
        epoch=report.epochs,
        excerpt=excerpt_of(shown[0].dump) if shown else (),
        reproduce=report.reproduce,
        note="" if shown or report.script in ("", COMPLETED) else report.script,
    )


def excerpt_of(path: str) -> tuple[str, ...]:
    """What a dump says first: verdict and threads without their events, then what its sections prove."""
    try:
        dump = dumps.read(Path(path))
    except HarnessError as error:
        return (str(error),)
    calm = [msgspec.structs.replace(seat, events=[]) for seat in dump.threads]
    head = head_of(msgspec.structs.replace(dump, threads=calm), everything=False)
    head += [f"note: {note}" for note in dump.notes]
    lines = cut([line for line, after in pairwise([*head, ""]) if line or after], HEAD_LINES)
    for name in TELLING:
        if section := dump.sections.get(name):
            lines += ["", f"{name}:", *cut([f"  {line}" for line in section], SECTION_LINES)]
    return tuple(line.rstrip() for line in lines if not any(word in line for word in NOT_SHOWN))


def cut(lines: list[str], most: int) -> list[str]:
    """The first of them; dots for the rest."""
    return [*lines[:most], "..."] if len(lines) > most else lines


def pairs_of(defects: Sequence[Defect]) -> list[Defect]:
    """Every two of them at once, but for those that replace the same step."""
    return [
        find_defect(f"{one.id}+{two.id}")
        for one, two in combinations(defects, 2)
        if not set(one.steps) & set(two.steps)
    ]


def result_of(detection: Detection) -> dict[str, object]:
    """One detection as plain values, with what is computed from its trials."""
    computed = ("detected", "right", "clean", "median_s", "worst_s", "steps", "epoch", "ok")
    plain: dict[str, object] = msgspec.to_builtins(detection)
    return plain | {name: getattr(detection, name) for name in computed}
