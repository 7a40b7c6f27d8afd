"""What ``hangdog fuzz`` says: its progress, what it keeps of a finding, its last words."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from harness.outcome import Finding
from harness.watch import dump as dumps
from harness.watch.render.text import render
from stress.cli.messages import say
from stress.cli.summary import explained, labelled, numbered, plural
from stress.fuzz.hunt import Caught, HuntOptions, Progress, kept
from stress.fuzz.scenario_file import listed
from stress.run.options import RunOptions

SCHEMA = "hangdog.fuzz/1"
LINE_EVERY_S = 5.0


class FuzzReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``hangdog fuzz --json`` prints."""

    schema: str = SCHEMA
    seed: int
    duration_s: float
    programs: int  # that were drawn
    runs: int  # of all programs, those of shrinking too
    cut_runs: int = 0  # of them were ended by the clock: this machine is too slow for them
    ended_by: str  # finding, examples, time limit, interrupt
    findings: list[Finding] = []
    scenario: str = ""  # the file of the program that fails
    roles: list[list[list[str | int]]] = []  # of that program: their operations
    drawn_size: int = 0  # operations before it was shrunk
    failed_runs: tuple[int, int] = (0, 0)  # it failed in so many of so many


def keep(folder: Path, caught: Caught) -> Caught:
    """What was found, in the folder; a full disk loses the files, not the finding."""
    try:
        return kept(caught, folder)
    except (OSError, dumps.DumpError) as error:
        say(f"cannot keep what was found in {str(folder)!r}: {error}", "df -h .")
    finding = caught.finding
    if finding.dump:
        finding = msgspec.structs.replace(finding, dump="", text=render(dumps.read(Path(finding.dump))))
    return replace(caught, finding=finding, kept=False)


class Lines:
    """Progress: a line at the start, one every few seconds, one for each smaller program that fails."""

    def __init__(self, base: RunOptions, heed: Callable[[], None]) -> None:
        self.heed = heed
        self.next_line = 0.0
        self.caught: Caught | None = None
        with_it = f", defect {base.defect}" if base.defect else ""
        click.echo(f"drawing programs: seed {base.seed}{with_it}", err=True)

    def update(self, so_far: Progress) -> None:
        """One look; KeyboardInterrupt if there was one."""
        elapsed = time.monotonic() - so_far.began
        if so_far.caught is not self.caught:
            self.caught = so_far.caught
            click.echo(f"{elapsed:7.1f} s  {shrunk(so_far)}", err=True)
        elif elapsed >= self.next_line:
            done = f"{so_far.drawn} programs drawn, {so_far.runs} runs"
            click.echo(f"{elapsed:7.1f} s  {done}", err=True)
            self.next_line = elapsed + LINE_EVERY_S
        self.heed()


def shrunk(so_far: Progress) -> str:
    """What fails now."""
    caught = so_far.caught
    assert caught is not None  # the caller has seen it
    what = "found" if caught.program == so_far.first else "shrunk to"
    return f"{what} {measure(len(caught.program.roles), caught.program.size())}: {caught.finding.verdict}"


def measure(roles: int, operations: int) -> str:
    """The size of a program."""
    return f"{operations} {plural(operations, 'operation')} in {roles} {plural(roles, 'role')}"


def report_of(options: HuntOptions, so_far: Progress) -> FuzzReport:
    """What came of it."""
    report = FuzzReport(
        seed=options.base.seed,
        duration_s=round(time.monotonic() - so_far.began, 1),
        programs=so_far.drawn,
        runs=so_far.runs,
        cut_runs=so_far.cut,
        ended_by=so_far.ended_by,
    )
    if (caught := so_far.caught) is None or so_far.first is None:
        return report
    return msgspec.structs.replace(
        report,
        findings=[caught.finding],
        scenario=str(caught.options.scenario) if caught.kept else "",
        roles=[[list(operation) for operation in role] for role in caught.program.roles],
        drawn_size=so_far.first.size(),
        failed_runs=(caught.failed, caught.runs),
    )


def tell(report: FuzzReport) -> Iterator[str]:
    """Lines: the dump, the program, what was done, what was found and how to see it again."""
    for finding in report.findings:
        yield from ("", explained(finding))
    yield ""
    for number, role in enumerate(report.roles, 1):
        yield from labelled(f"role {number}", listed(role))
    if report.roles:
        size, (failed, runs) = sum(map(len, report.roles)), report.failed_runs
        how_often = f"of {report.drawn_size} that were drawn, fails in {failed} of {runs} runs"
        yield from labelled("program", f"{measure(len(report.roles), size)} {how_often}")
    drawn = f"{report.programs} {plural(report.programs, 'program')}, seed {report.seed}"
    cut = f", {report.cut_runs} of them ended by the clock" if report.cut_runs else ""
    yield from labelled("drew", f"{drawn}; {report.runs} runs in {report.duration_s:g} s{cut}")
    yield from labelled("found", "1 finding" if report.findings else "nothing")
    for finding in report.findings:
        yield from numbered(finding)
        if report.scenario:
            yield f"{'':10}scenario: {report.scenario}"
