"""``hangdog defects``: the catalogue of historical mistakes, and whether each of them is found.

Guarantees: with ``--json`` exactly one array goes to standard output, everything else to standard
error; the exit code of ``--detect`` is 0 when every defect was found with a right verdict and the VM
without it was clean, 1 otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import BadInput
from stress.cli.table import columns

if TYPE_CHECKING:
    from stress.defect import Defect
    from stress.detect import Detection, DetectOptions, Trial

PAGE = Path("docs") / "defects.md"
TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
NOT_ALL_FOUND = 1


class Duration(click.ParamType[float]):
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
@click.option("--origin", type=click.Choice(["documented", "reconstructed"]), help="Only those.")
@click.option("--verdict", metavar="NAME", help="Only those that NAME is a right verdict of.")
@click.option("--scenario", metavar="NAME", help="Only those that this scenario shows best.")
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
    chosen = choose(ids, given["origin"], given["verdict"], given["scenario"])
    if detecting:
        return find_them(chosen, as_json, whole=not ids, **given)
    if as_json:
        click.echo(json.dumps([described(defect, bool(ids)) for defect in chosen]))
    elif len(ids) == len(chosen) == 1:
        click.echo(in_full(chosen[0]))
    else:
        rows = [(one.id, one.origin, one.scenario, f"{one.name}: {one.symptom}") for one in chosen]
        click.echo(columns(rows) or "no defect is like that")
    return 0


def choose(ids: Sequence[str], origin: str | None, verdict: str | None, scenario: str | None) -> list[Defect]:
    """Those that are asked for, in that order, else the whole catalogue.  BadInput for an unknown id."""
    from stress.defect import all_defects, find_defect

    words = [word for text in ids for word in text.split(",") if word]
    found = [find_defect(word) for word in words] if words else list(all_defects().values())
    return [
        one
        for one in found
        if origin in (None, one.origin)
        and (verdict is None or verdict in one.verdicts)
        and scenario in (None, one.scenario)
    ]


def described(defect: Defect, everything: bool) -> dict[str, Any]:
    """One element of the array."""
    keys = ["id", "name", "origin", "verdicts", "scenario"]
    if not everything:
        return {key: getattr(defect, key) for key in keys}
    keys += ["quote", "interleaving", "symptom", "steps", "notes"]
    return {key: getattr(defect, key) for key in keys} | {"script": defect.script is not None}


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


def find_them(chosen: list[Defect], as_json: bool, *, whole: bool, **given: Any) -> int:
    """Run them, tell each trial as it comes, write the page, and say what came of it."""
    from stress.detect import DetectOptions, detect, pairs_of, result_of

    options = DetectOptions(
        budget_s=given["budget"], seeds=given["seeds"], scripts=given["scripts"], pairs=given["pairs"]
    )
    if options.scripts and given["pairs"]:
        raise BadInput(
            "a script is that of one defect: --pairs needs chance", "hangdog defects --detect --pairs"
        )
    if options.scripts:
        chosen = [defect for defect in chosen if defect.script is not None]
    if given["pairs"]:
        chosen = pairs_of([one for one in chosen if one.seed_named] if whole else chosen)
    if not chosen:
        raise BadInput("there is no defect left to run", "hangdog defects")
    found = detect(chosen, options, tell)
    if as_json:
        click.echo(json.dumps([result_of(one) for one in found]))
    else:
        from stress.detect_report import HEAD, row, summary

        click.echo(columns([HEAD, *(row(one) for one in found)]))
        click.echo(summary(found))
    special = options.scripts or given["pairs"] or given["origin"] or given["verdict"] or given["scenario"]
    write_page(chosen, found, options, given["write"], whole and not special)
    return 0 if len(found) == len(chosen) and all(one.ok for one in found) else NOT_ALL_FOUND


def tell(detection: Detection, trial: Trial) -> None:
    """One line of progress."""
    what = trial.verdict or trial.note or "nothing"
    right = "" if trial.right else "  NOT RIGHT"
    clean = "clean without" if trial.clean_without else f"WITHOUT IT {', '.join(trial.found_without)}"
    line = f"{detection.id:<6} seed {trial.seed}  {trial.seconds:7.2f} s  {what}{right}; {clean}"
    click.echo(line, err=True)


def write_page(
    chosen: list[Defect], found: list[Detection], options: DetectOptions, target: Path | None, whole: bool
) -> None:
    """The page, where it was asked for, or where it belongs when it is about the whole catalogue."""
    from stress.detect_report import page

    if target is None:
        if not whole or len(found) < len(chosen) or not PAGE.parent.is_dir():
            return
        target = PAGE
    try:
        target.write_text(page(chosen, found, options), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot write {str(target)!r}: {error.strerror}", "hangdog defects --detect --write defects.md"
        ) from None
    click.echo(f"wrote {target}", err=True)
