"""The end of a run, in words that a stranger understands."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import HarnessError
from harness.outcome import Finding
from harness.watch import dump as dumps
from harness.watch.render.text import render
from stress.run.options import RunReport

WIDTH = 110
ENDED = {
    "done": "to its end",
    "finding": "until something was found",
    "time limit": "until its time was up",
    "interrupt": "until it was interrupted",
}
Counters = Mapping[str, int]


def tell(report: RunReport) -> Iterator[str]:
    """Lines: the worst finding's dump, then what ran, what it did, what was checked, what was found."""
    if report.findings:
        # A wrong order is a hang that did not happen yet: one that did says more.
        worst = min(report.findings, key=lambda finding: (finding.verdict == "order_violation", finding.id))
        yield from ("", explained(worst))
    yield ""
    yield from labelled("ran", ran(report))
    if report.script:
        yield from labelled("script", report.script)
    yield from labelled("did", did(report))
    yield from labelled("checked", checked(report))
    if report.space:
        yield from labelled("space", space(report.space))
    if report.limits:
        yield from labelled("limits", limits(report.limits))
    for notice in report.notices:
        yield from labelled("notice", f"{notice.verdict}: {notice.summary}")
        if notice.dump:
            yield f"{'':10}dump: {notice.dump}"
    for incident in report.incidents:
        yield from labelled("note", incident)
    yield from labelled("found", result_text(report))
    for finding in report.findings:
        yield from numbered(finding)


def labelled(label: str, text: str) -> Iterator[str]:
    """A word in front, and the rest wrapped beside it."""
    indent = " " * 10
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:<10}", subsequent_indent=indent, break_long_words=False
    )


def ran(report: RunReport) -> str:
    """What, with whom, how long."""
    kind = "processes" if report.mode == "process" else "threads"
    how = ENDED.get(report.ended_by, report.ended_by)
    return (
        f"{report.scenario} with {report.workers} worker {kind}, seed {report.seed}, "
        f"for {report.duration_s:.1f} s, {how}; {report.epochs} {plural(report.epochs, 'epoch')} completed"
    )


def did(report: RunReport) -> str:
    """What happened inside, as far as it was counted."""
    count: Counters = report.counters
    parts = [f"{report.steps:,} steps ({report.steps_per_s:,.0f}/s)"]
    for name, said in (
        ("map_forks", "forks of address spaces"),
        ("v_faults", "page faults"),
        ("v_cow_faults", "of them copied a page"),
        ("object_collapses", "shadow objects collapsed"),
        ("object_bypasses", "bypassed"),
        ("v_pageouts", "pages written out"),
        ("v_pageins", "read back in"),
    ):
        if count.get(name):
            parts.append(f"{count[name]:,} {said}")
    return ", ".join(parts)


def checked(report: RunReport) -> str:
    """What would have been noticed."""
    reads, audits = report.checks.get("content_reads", 0), report.checks.get("audits", 0)
    return (
        f"the contents of {reads:,} pages read; the whole state in {audits:,} {plural(audits, 'audit')}; "
        "lock order, lock state and who waits for whom all the time"
    )


def space(count: Counters) -> str:
    """What the pages were worth at rest."""
    epochs = count["epochs"]
    return (
        f"{count['used']:,} private pages, {count['minimum']:,} of them reachable; hidden (leaked) pages: "
        f"{count['hidden']:,} in the last of {epochs:,} {plural(epochs, 'audit')}, "
        f"{count['hidden_max']:,} at most; longest chain {count['chain_max']}"
    )


def limits(seconds: Mapping[str, float]) -> str:
    """After how many seconds something counts; the same that --json has."""
    told = (f"{name.removesuffix('_s')} {limit:g} s" for name, limit in seconds.items())
    return ", ".join(told).replace("setup ", "set-up ")


def result_text(report: RunReport) -> str:
    """How many findings there are, in words."""
    count = len(report.findings)
    return f"{count} findings" if count > 1 else "1 finding" if count else "nothing"


def numbered(finding: Finding) -> Iterator[str]:
    """One finding: the fact, the file, the commands."""
    yield from labelled(f"  {finding.id}", f"{finding.verdict}: {finding.summary}")
    if finding.dump:
        yield f"{'':10}dump: {finding.dump}"
        yield f"{'':10}try: hangdog show {finding.dump}"
    yield f"{'':10}try: {finding.reproduce}"


def explained(finding: Finding) -> str:
    """The dump of a finding as text; without a file, what is known of it."""
    if finding.dump:
        try:
            return render(dumps.read(Path(finding.dump)), everything=False).rstrip()
        except HarnessError as error:  # the run is over; its result matters more than this file
            return f"{finding.verdict}: {finding.summary}\n({error})"
    # A full disk loses the file, not the finding.
    return finding.text.rstrip() or f"{finding.verdict}: {finding.summary}\n(no dump could be written)"


def plural(count: int, word: str) -> str:
    """One epoch, two epochs."""
    return word if count == 1 else f"{word}s"
