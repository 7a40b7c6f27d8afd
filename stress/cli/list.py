"""``hangdog list``: what can be run, by name, with one sentence each."""

import json
from collections.abc import Callable

import click

from stress.cli.table import columns
from stress.trace.shipped import NAMES

TRACES = {
    "configure": "a configure script: 1,953 short processes, the fork-and-exit storm of the old bugs",
    "make": "a parallel build of C files: compilers that map, work and leave",
    "pool": "a Python process pool, and children that hold copy-on-write snapshots",
}


def scenarios() -> dict[str, str]:
    """Scenario -> its sentence."""
    from stress.scenario.scenario import all_scenarios

    return {name: scenario.about for name, scenario in all_scenarios().items()}


def defects() -> dict[str, str]:
    """Defect -> its symptom."""
    from stress.defect import all_defects

    return {name: f"{defect.name}: {defect.symptom}" for name, defect in all_defects().items()}


def traces() -> dict[str, str]:
    """Shipped trace -> what was recorded."""
    return {name: TRACES.get(name, "a recorded program") for name in NAMES}


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "scenarios": scenarios,
    "defects": defects,
    "traces": traces,
}


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)), default="scenarios", metavar="KIND")
@click.option("--json", "as_json", is_flag=True, help='Print an array of {"name", "sentence"}.')
def list_(kind: str, as_json: bool) -> None:
    """List what `hangdog run` takes; KIND is scenarios (default), defects or traces."""
    found = KINDS[kind]()
    if as_json:
        click.echo(json.dumps([{"name": name, "sentence": sentence} for name, sentence in found.items()]))
    else:
        click.echo(columns(list(found.items())) or f"there are no {kind}")
