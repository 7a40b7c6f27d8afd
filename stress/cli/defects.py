"""``hangdog defects``: the catalogue of historical mistakes that can be switched on."""

import json

import click

from stress.cli.table import columns


@click.command()
@click.argument("id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def defects(id: str | None, as_json: bool) -> None:
    """Show the catalogue of defects, or one of them (ID) in full."""
    from stress.defect import all_defects, find_defect

    found = [find_defect(id)] if id else list(all_defects().values())
    if as_json:
        keys = ("id", "name", "origin", "quote", "interleaving", "symptom", "verdicts", "scenario", "steps")
        click.echo(json.dumps([{key: getattr(defect, key) for key in keys} for defect in found]))
        return
    if not id:
        rows = [
            (defect.id, ", ".join(defect.verdicts), f"{defect.name}: {defect.symptom}") for defect in found
        ]
        click.echo(columns(rows) or "the catalogue is empty")
        return
    defect = found[0]
    told = [
        ("origin", f"{defect.origin}: {defect.quote}"),
        *((f"step {number}", text) for number, text in enumerate(defect.interleaving, 1)),
        ("symptom", defect.symptom),
        ("verdicts", ", ".join(defect.verdicts)),
        ("replaces", ", ".join(defect.steps)),
        ("run it", f"hangdog run --scenario {defect.scenario} --defect {defect.id}"),
    ]
    click.echo(f"{defect.id}  {defect.name}\n\n{columns(told)}")
