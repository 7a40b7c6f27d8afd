"""``hangdog dump``: what a running arena is doing now, written like the dump of a finding.

Guarantees: only reads, so a run cannot tell that it was looked at.  With ``--stacks`` each
process gets a signal, and that may wake a thread that would have slept for ever.
"""

import time
from pathlib import Path

import click

from harness.errors import ArenaError, BadInput
from harness.shm.arena import Arena
from harness.watch import dump as dumps
from harness.watch.detectors.judge import History, Limits, judge
from harness.watch.records import Dump, RunMeta, Snapshot, Suspicion
from harness.watch.render.text import render
from harness.watch.snapshot import Reader, take
from stress.cli.live import doing
from stress.cli.show import as_text
from stress.dump_sections import sections as render_vm
from vmcore.show.inspect import inspect

SECOND_LOOK_S = 0.05  # a hang that is certain has not moved in between


@click.command()
@click.argument("target", metavar="PID")
@click.option("--json", "as_json", is_flag=True, help="Print the dump as one JSON object.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the dump to FILE, for `show`."
)
@click.option(
    "--stacks", is_flag=True, help="Ask each process for its Python stack; a signal, so it may disturb."
)
def dump(target: str, as_json: bool, out: Path | None, stacks: bool) -> int:
    """Show the live state of the arena that process PID uses, without disturbing it.

    PID may also be the file of a run with --arena-file, in the state in which the last process left it.
    The exit code is 1 when a thread waits for what cannot come.
    """
    with attach(target) as arena:
        found = live_dump(arena, target, stacks)
    if out is not None:
        dumps.write(out, found)
    if as_json:
        click.echo(as_text(found))
    elif out is None:
        click.echo(render(found), nl=False)
    else:
        click.echo(f"wrote {out}")
    return 0 if found.verdict == "live" else 1


def attach(target: str) -> Arena:
    """The arena of a process, or in a file.  Errors: those of Arena.attach."""
    if target.isascii() and target.isdigit():
        return Arena.attach(pid=int(target))
    if not Path(target).exists():
        raise BadInput(f"{target!r} is neither a process id nor a file", "hangdog ps")
    return Arena.attach(path=target)


def live_dump(arena: Arena, target: str, stacks: bool) -> Dump:
    """The state as a dump; its verdict is "live" when no thread is stuck for certain."""
    try:
        vm = inspect(arena)
    except ArenaError:  # records of another shape: its threads and locks can be shown all the same
        vm = None
    if vm is None:
        return dump_of(arena, target, stacks)
    render_vm.register(vm)
    try:
        return dump_of(arena, target, stacks)
    finally:
        render_vm.unregister()


def dump_of(arena: Arena, target: str, stacks: bool) -> Dump:
    """The same, with whatever sections are registered."""
    reader, history = Reader(arena), History()
    judge(take(reader), history, Limits())
    time.sleep(SECOND_LOOK_S)
    history.clock += SECOND_LOOK_S
    snapshot = take(reader, events=True)
    stuck = [suspicion for suspicion in judge(snapshot, history, Limits()) if suspicion.certain]
    meta = RunMeta(scenario=arena.name, reproduce=f"hangdog dump {target}")
    return dumps.build(reader, snapshot, stuck[0] if stuck else alive(snapshot), meta, stacks)


def alive(snapshot: Snapshot) -> Suspicion:
    """What to say when nothing is wrong."""
    waiting = [
        seat for seat in snapshot.seats if seat.wait and seat.wait.kind not in ("idle", "io", "parked")
    ]
    why = f"{len(snapshot.seats)} threads, {len(waiting)} waiting for another; none is stuck for certain"
    lines = [f"{seat.name} {doing(seat)}" for seat in snapshot.seats]
    if snapshot.earlier_boot:
        why = f"left over by an earlier boot of the machine: all {len(snapshot.seats)} threads in it are dead"
        lines = []
    return Suspicion(
        verdict="live", key="live", seats=[], why=why, lines=lines or ["no thread is in this arena"]
    )
