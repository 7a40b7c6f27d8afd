"""``hangdog ps``: the running arenas of this user, and what each thread in them is doing."""

import json
from typing import Any

import click

from stress.cli.live import Running, doing, running


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def ps(as_json: bool) -> None:
    """List the running arenas of this user, without disturbing them."""
    found = running()
    if as_json:
        click.echo(json.dumps([plain(arena) for arena in found]))
    elif not found:
        click.echo("no arena of this user is running")
    for arena in [] if as_json else found:
        roles = ", ".join(f"{count} {role}" for role, count in arena.roles.items()) or "no thread in it yet"
        click.echo(
            f"{arena.name}  pid {arena.pid}, {len(arena.pids)} processes, {arena.age_s:.0f} s old: {roles}"
        )
        wide = max((len(seat.role) for seat in arena.seats), default=0)
        for seat in arena.seats:
            click.echo(f"  {seat.pid:>8}  {seat.role:<{wide}}  {seat.steps:>8} steps  {doing(seat)}")


def plain(arena: Running) -> dict[str, Any]:
    """For machines; ``pid`` is what ``hangdog dump`` takes."""
    return {
        "name": arena.name,
        "pid": arena.pid,
        "pids": arena.pids,
        "age_s": round(arena.age_s, 3),
        "workers": len(arena.seats),
        "roles": arena.roles,
        "threads": [
            {
                "pid": seat.pid,
                "tid": seat.tid,
                "role": seat.role,
                "steps": seat.steps,
                "dead": seat.dead,
                "operation": seat.operation,
                "activity": seat.activity,
                "holds": [held.lock for held in seat.held],
                "waits_for": seat.wait.lock if seat.wait else None,
                "waited_s": round(seat.wait.waited_s, 3) if seat.wait else None,
                "doing": doing(seat),
            }
            for seat in arena.seats
        ],
    }
