"""``hangdog defects``: the catalogue of historical mistakes, and whether each of them is found.

Guarantees: with ``--json`` exactly one array goes to standard output, everything else to standard
error; the exit code of ``--detect`` is 0 when every defect was found with a right verdict and the VM
without it was clean, that of the error when a run could not be made, 130 when it was interrupted,
1 otherwise.  Refuses before the first run what it could not use after the last one.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.errors import BadInput
from stress.cli.interrupts import interruptible
from stress.cli.messages import say, unknown
from stress.cli.preflight import (
    require_descriptors,
    require_file,
    require_folder,
    require_names,
)
from stress.cli.run import INTERRUPTED, is_typed
from stress.cli.table import columns
from stress.defect import Defect
from stress.detect.detect import Detection, DetectOptions, Trial
from stress.run.options import DISKS

PAGE = Path("docs") / "defects.md"
TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
FILTERS = ("origin", "verdict", "scenario")
OF_DETECTION = {
    "budget": "--budget",
    "seeds": "--seeds",
    "scripts": "--script",
    "pairs": "--pairs",
    "write": "--write",
}
NONE = dict.fromkeys(FILTERS)
Given = Mapping[str, Any]


class Duration(click.ParamType):  # type: ignore[type-arg]  # old versions of click have none
    """Seconds: 90, 90s, 1.5m."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A positive number of seconds, or the usual complaint."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no time, as 60s or 2m are", param, ctx)
        return float(match[1]) * TIMES[match[2]]


@click.command()
@click.argument("ids", nargs=-1)
@click.option(
    "--origin", type=click.Choice(["documented", "reconstructed"]), help="Only defects of this origin."
)
@click.option("--verdict", metavar="NAME", help="Only defects for which NAME counts as a right verdict.")
@click.option("--scenario", metavar="NAME", help="Only defects that this scenario shows best.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Print one array of {"id", "name", "origin", "verdicts", "scenario"}; with IDS, all there is.',
)
@click.option("--detect", "detecting", is_flag=True, help="Run each of them, and the VM without it.")
@click.option(
    "--budget",
    type=Duration(),
    default="60s",
    show_default=True,
    help="With --detect: at most so long a run.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="With --detect: so many runs each."
)
@click.option("--script", "scripts", is_flag=True, help="With --detect: follow their scripts, not chance.")
@click.option("--pairs", is_flag=True, help="With --detect: every two of IDS at once (else of H1-H13).")
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --detect: where the page with the table goes (of all defects: docs/defects.md).",
)
def defects(ids: tuple[str, ...], detecting: bool, as_json: bool, **given: Any) -> int:
    """Show the catalogue of defects, or one of them (IDS) in full; or find them all (--detect)."""
    chosen = choose(ids, given)
    if detecting:
        return run_detection(chosen, as_json, ids, given)
    reject_unused(ids, given)
    if as_json:
        click.echo(json.dumps([described(defect, bool(ids)) for defect in chosen]))
    elif ids and len(chosen) == 1:
        click.echo(in_full(chosen[0]))
    else:
        rows = [(one.id, one.origin, one.scenario, f"{one.name}: {one.symptom}") for one in chosen]
        click.echo(columns(rows) or "no defect fits")
    return 0


def choose(ids: Sequence[str], given: Given) -> list[Defect]:
    """Those that are asked for.  BadInput for an id, a verdict or a scenario that does not exist."""
    from stress.defect import find_defect
    from stress.detect import choice

    require_known(ids, given)
    words = [word for text in ids for word in text.split(",") if word]
    if ids and not words:
        raise BadInput(f"{' '.join(ids)!r} names no defect", "hangdog defects")
    for word in words:
        require_names(word)
    return choice.chosen([find_defect(word) for word in words], *(given[name] for name in FILTERS))


def require_known(ids: Sequence[str], given: Given) -> None:
    """BadInput for a filter by a name that does not exist: nothing found would be a wrong answer."""
    from stress.detect.choice import known_names

    for name, known in known_names().items():
        if given[name] is not None and given[name] not in known:
            otherwise = typed(ids, {**given, name: None})
            raise BadInput(
                *unknown(
                    name,
                    given[name],
                    known,
                    lambda nearest, name=name: typed(ids, {**given, name: nearest}),  # type: ignore[misc]
                    otherwise,
                )
            )


def typed(ids: Sequence[str], given: Given, *more: str) -> str:
    """A command line about the same defects."""
    return " ".join(filter(None, ["hangdog defects", chosen_by(ids, given), *more]))


def chosen_by(ids: Sequence[str], given: Given) -> str:
    """IDS and filters, as they were typed."""
    filters = [word for name in FILTERS if given[name] is not None for word in (f"--{name}", given[name])]
    return shlex.join([*ids, *filters])


def reject_unused(ids: Sequence[str], given: Given) -> None:
    """BadInput for what has a meaning only with --detect: the user expects runs."""
    idle = [option for name, option in OF_DETECTION.items() if is_typed(name)]
    if idle:
        raise BadInput(f"{' and '.join(idle)}: nothing is run without --detect", detecting_again(ids, given))


def detecting_again(ids: Sequence[str], given: Given, **other: Any) -> str:
    """The detection that was typed, with some of its options otherwise; None: without that one."""
    words = ["--detect"]
    for name, option in OF_DETECTION.items():
        value = other[name] if name in other else given[name] if is_typed(name) else None
        if value in (None, False):
            continue
        words.append(option)
        if value is not True:
            words.append(f"{value:g}s" if name == "budget" else shlex.quote(str(value)))
    return typed(ids, given, *words)


def described(defect: Defect, everything: bool) -> dict[str, Any]:
    """One element of the array."""
    keys = ["id", "name", "origin", "verdicts", "scenario"]
    if not everything:
        return {key: getattr(defect, key) for key in keys}
    keys += ["quote", "interleaving", "symptom", "steps", "command", "notes"]
    told = {key: getattr(defect, key) for key in keys}
    return told | {"options": dict(defect.options), "script": defect.script is not None}


def in_full(defect: Defect) -> str:
    """One defect for reading."""
    told = [
        ("origin", f"{defect.origin}: {defect.quote}"),
        *((f"step {number}", text) for number, text in enumerate(defect.interleaving, 1)),
        ("symptom", defect.symptom),
        ("verdicts", ", ".join(defect.verdicts)),
        ("replaces", ", ".join(defect.steps)),
        ("run it", defect.command),
    ]
    if defect.script is not None:
        told.append(("step by step", f"hangdog run --defect {defect.id} --script"))
    if defect.notes:
        told.append(("notes", defect.notes))
    return f"{defect.id}  {defect.name}\n\n{columns(told)}"


# --- detection


def run_detection(chosen: list[Defect], as_json: bool, ids: Sequence[str], given: Given) -> int:
    """Run them, tell each trial as it comes, write the page, and say what came of it."""
    from stress.detect.detect import DetectOptions, detect, result_of
    from stress.detect.report import HEAD, page, row, summary

    options = DetectOptions(
        budget_s=given["budget"],
        seeds=given["seeds"],
        scripts=given["scripts"],
        pairs=given["pairs"],
        chosen=chosen_by(ids, given),
    )
    chosen = to_run(chosen, ids, given)
    target = target_of(options, ids, given)
    require_runs(chosen, options)
    with interruptible() as heed:

        def told(detection: Detection, trial: Trial) -> None:
            tell(detection, trial)
            heed()

        found = detect(chosen, options, told)
    if as_json:
        click.echo(json.dumps([result_of(one) for one in found.detections]))
    elif found.detections:
        click.echo(columns([HEAD, *(row(one) for one in found.detections)]))
        click.echo(summary(found.detections, len(chosen)))
    if found.interrupted:
        said = f"interrupted after {found.made} of {len(chosen) * options.seeds} trials; no page is written"
        say(said, detecting_again(ids, given))
        return INTERRUPTED
    # The catalogue's own page is not to be replaced by the news that this machine could not run it.
    if target is not None and not (found.failed and given["write"] is None):
        text = page(chosen, found.detections, options)
        write_page(text, target, detecting_again(ids, given, write="defects.md"))
    if found.failed:
        first = found.failed[0]
        say(f"{len(found.failed)} trials could not run: {first.error}", first.reproduce)
    return found.exit_code


def to_run(chosen: list[Defect], ids: Sequence[str], given: Given) -> list[Defect]:
    """What is to be run of those chosen.  BadInput, with the command that would run something."""
    from stress.detect import choice

    try:
        return choice.to_run(chosen, given["scripts"], given["pairs"], bool(ids), chosen_by(ids, given))
    except choice.NothingToRun as why:
        if why.without == "filters":
            hint = typed(ids, {**given, **NONE})
        elif why.without:
            hint = detecting_again(ids, given, **{why.without: None})
        else:
            hint = "hangdog defects H7b H6a --detect --pairs"
        raise BadInput(str(why), hint) from None


def target_of(options: DetectOptions, ids: Sequence[str], given: Given) -> Path | None:
    """Where the page goes: as asked, or where that of the whole catalogue belongs.

    BadInput when it could not be written: after hours of runs it is too late to say so.
    """
    target: Path | None = given["write"]
    if target is None and not (options.chosen or options.scripts or options.pairs) and PAGE.parent.is_dir():
        target = PAGE
    if target is not None:
        require_file(target, detecting_again(ids, given, write="defects.md"))
    return target


def require_runs(chosen: Sequence[Defect], options: DetectOptions) -> None:
    """What `hangdog run` needs, for the biggest of the runs to come."""
    from stress.detect.detect import DUMPS, run_options

    runs = [run_options(one, options, 1, options.budget_s) for one in chosen]
    require_folder(Path(DUMPS), "ls -ld .")
    biggest = max(runs, key=lambda one: one.workers + (one.disks or DISKS))
    require_descriptors(
        biggest.workers + (biggest.disks or DISKS),
        f"hangdog run --defect {biggest.defect} --workers 1 --disks 1",
    )


def tell(detection: Detection, trial: Trial) -> None:
    """One line of progress."""
    if trial.error:
        said = f"could not run: {trial.error}"
    else:
        what = trial.verdict or trial.note or "nothing"
        right = "" if trial.right else "  NOT RIGHT"
        clean = "clean without" if trial.clean_without else f"WITHOUT IT {', '.join(trial.found_without)}"
        said = f"{trial.seconds:7.2f} s  {what}{right}; {clean}"
    click.echo(f"{detection.id:<6} seed {trial.seed}  {said}", err=True)


def write_page(text: str, target: Path, again: str) -> None:
    """The page; BadInput when the place has gone bad since it was looked at."""
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {str(target)!r}: {error.strerror}", again) from None
    click.echo(f"wrote {target}", err=True)
