"""``hangdog run``: one run, looked at while it goes on, and told at the end.

Guarantees: with ``--json`` exactly one object goes to standard output and everything else
to standard error; the exit code is 1 when something was found, 130 when nothing was found and the
run was interrupted.  Refuses values that no run could be made of before anything starts.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from harness.errors import BadInput, HarnessError
from harness.probe import NAMES
from harness.watch.detectors.judge import Limits
from stress.cli.messages import say
from stress.cli.preflight import (
    refuse_shortage,
    require_descriptors,
    require_folder,
    require_here,
    require_names,
)
from stress.run.options import COMPLETED, DISKS, SETUP_S, RunOptions, RunReport
from vmcore.config import OPTIONS

INTERRUPTED = 128 + signal.SIGINT
DUMP_DIR = "hangdog-dumps"
LEAST_WITHOUT_S = 2.0
OF_THE_DEFECT = "of the defect"
CHANCE = ("noise", "stops", "disk_ms")  # all that is left of it in a script
NOT_OF_A_SCRIPT = {
    "workers": "its roles are its workers",
    "epochs": "it is played once",
    "touches": "it replays no trace",
    "tasks": "it replays no trace",
    "seed": "without --noise, --stops and --disk-ms no chance is in it",
}
Command = Callable[..., Any]


def table_options(command: Command) -> Command:
    """One option per table of the VM, named by the list that a full table's error names too."""
    for name, option in reversed(OPTIONS.items()):
        said = (
            "Frames of the VM." if name == "pages" else f"Records in that table ({name.replace('_', ' ')})."
        )
        command = click.option(option, name, type=int, metavar="N", help=said)(command)
    return command


def limit_help(what: str, name: str) -> str:
    """Help of a watchdog's limit, with the usual value."""
    return f"{what} after so many seconds of watched time ({getattr(Limits, name):g})."


@click.command()
@click.option("--scenario", metavar="NAME|FILE.py", help="What to run: see `hangdog list scenarios`.")
@click.option(
    "--trace", metavar="NAME|FILE", help="Replay a shipped trace or a strace log (plain or .gz) instead."
)
@click.option("--workers", type=int, default=4, show_default=True, help="Worker processes (or threads).")
@click.option("--mode", type=click.Choice(["process", "thread"]), default="process", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed for every random choice.")
@click.option(
    "--defect",
    metavar="ID|FILE.py",
    help="Switch on this defect (see `hangdog defects`); without --scenario, in the one that shows it best.",
)
@click.option(
    "--script",
    is_flag=False,
    flag_value=OF_THE_DEFECT,
    metavar="[ID]",
    help="Play the steps of --defect in their order; with ID: those of ID, on the VM without it.",
)
@click.option(
    "--seconds",
    "--time",
    type=float,
    help="Stop after so long (a scenario: 20; a trace: at its end); a script must have ended by then (20).",
)
@click.option("--epochs", type=int, help="Stop after so many rounds of run, park and audit.")
@click.option("--noise", type=click.Choice(NAMES), help="Insert random delays where races are likely.")
@click.option(
    "--stops",
    type=float,
    default=0.0,
    help="SIGSTOP a worker this many times per second (for 0.01 to 0.2 s each).",
)
@click.option("--stall", type=float, help=limit_help("One wait counts as a stall", "stall_s"))
@click.option(
    "--livelock", type=float, help=limit_help("An operation that only starts again counts", "livelock_s")
)
@click.option("--frozen", type=float, help=limit_help("A stopped holder is told of", "frozen_s"))
@click.option(
    "--setup-limit",
    type=float,
    default=SETUP_S,
    show_default=True,
    help="A set-up that has not ended after so many seconds hangs.",
)
@click.option("--switch-ms", type=float, help="With --mode thread: how long a thread keeps the interpreter.")
@click.option("--disks", type=int, help="Disk workers (2; a script: its own number, mostly 1).")
@click.option("--disk-ms", type=float, help="Mean extra time of a transfer.")
@click.option(
    "--touches", type=float, default=1.0, show_default=True, help="Page touches of a trace, as a factor."
)
@click.option("--tasks", type=int, help="Only the first so many processes of a trace.")
@click.option(
    "--checks/--no-checks",
    "--contracts/--no-contracts",
    default=True,
    show_default=True,
    help="Check the lock state at every call into the VM.",
)
@click.option(
    "--checked",
    is_flag=True,
    help="Verify guard and generation at every access to a record of the VM, and invariants at every unlock.",
)
@click.option(
    "--dump-dir",
    type=click.Path(path_type=Path),
    default=DUMP_DIR,
    show_default=True,
    metavar="DIR",
    help="Where dumps of findings go; made when there is one.",
)
@click.option(
    "--arena-file", metavar="PATH", help="Keep the shared memory in a new file, to look at after a crash."
)
@click.option("--watch-chains", is_flag=True, help="Draw the longest shadow chains while the run goes on.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else on standard output."
)
@table_options
def run(*, dump_dir: Path, as_json: bool, **given: Any) -> int:  # fmt: skip
    """Run a scenario, or replay a recorded program, on a VM in shared memory, and watch it.

    Exit code 0: nothing was found; 1: something was, and its dump says who holds what.  Sizes that are
    not given (--pages and the tables below) are the scenario's or the trace's own.
    """
    tables = {name: given.pop(name) for name in OPTIONS if name != "pages"}
    chosen = {name: value for name, value in tables.items() if value is not None}
    if as_json and given["watch_chains"]:
        raise BadInput(
            "--watch-chains is for looking at, --json for programs: a run has one of them",
            "hangdog run --watch-chains",
        )
    require_names(given["defect"] or "H1")
    if given["script"]:
        given |= cast(given["script"], given["defect"])
    elif given["defect"] and not given["scenario"] and not given["trace"]:
        given |= where_it_shows(given["defect"])
    options = RunOptions(**given, tables=chosen, dump_dir=str(dump_dir))
    require_here()
    require_folder(dump_dir)
    require_descriptors(options.workers + (options.disks or DISKS))
    report = watched(options, as_json)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    if report.ended_by == "interrupt":
        say(f"interrupted after {report.duration_s:.1f} s", report.reproduce or options.command())
        return report.exit_code or INTERRUPTED
    if options.script and options.defect and not report.findings and report.script != COMPLETED:
        raise OffTheTrack(options.defect, report.script, options.command())
    return report.exit_code


class OffTheTrack(HarnessError):
    """A script did not come to its end, and nothing was found: the defect was not played."""

    def __init__(self, defect: str, told: str, hint: str) -> None:
        super().__init__(f"{defect}: {told}")
        self.hint = hint


def where_it_shows(defect: str) -> dict[str, Any]:
    """The scenario that shows a defect soonest, with its options but those given.  BadInput: unknown."""
    from stress.defect import find_defect
    from stress.detect.detect import asked_of_run

    return untyped(asked_of_run(find_defect(defect)))


def untyped(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the user has not typed."""
    return {name: value for name, value in options.items() if not is_typed(name)}


def is_typed(name: str) -> bool:
    """Was this option given?"""
    return click.get_current_context().get_parameter_source(name) != ParameterSource.DEFAULT


def cast(script: str, defect: str | None) -> dict[str, Any]:
    """Whose script it is, and how many workers play it.  BadInput when there is none."""
    from stress.defect import find_defect
    from stress.detect.detect import asked_of_run

    if script == OF_THE_DEFECT and defect is None:
        raise BadInput("--script follows the steps of a defect: name one", "hangdog run --defect H2 --script")
    if script == OF_THE_DEFECT:
        script = str(defect)
    found = find_defect(script)
    if found.script is None:
        raise BadInput(
            f"defect {found.id} has no script: only chance shows it", f"hangdog run --defect {found.id}"
        )
    refuse_idle(found.id, defect)
    looks = {name: value for name, value in asked_of_run(found, script=True).items() if name != "script"}
    return {"script": found.id, "workers": len(found.script.roles), **untyped(looks)}


def refuse_idle(script: str, defect: str | None) -> None:
    """BadInput for an option that a script takes no notice of: the user would think that it did."""
    idle = dict(NOT_OF_A_SCRIPT)
    if any(map(is_typed, CHANCE)):
        del idle["seed"]
    for name, why in idle.items():
        if is_typed(name):
            raise BadInput(
                f"--{name} has no effect with --script: {why}",
                RunOptions(script=script, defect=defect).command(),
            )


def watched(options: RunOptions, as_json: bool) -> RunReport:
    """Run it with a display on the stream that is not for the result, and tell what came of it."""
    # Imported here: `hangdog run --help`, and every wrong option, need no VM.
    from stress.cli.display import Display
    from stress.cli.summary import tell
    from stress.run.runner import make_workload, run_workload, setting_of
    from stress.run.runner import run as run_it

    stream = sys.stderr if as_json else sys.stdout
    workload = make_workload(options)
    setting_of(options, workload)  # an unknown name is refused before anything is said to run
    with Display(stream, options) as display:
        report = run_workload(options, workload, display.update)

    def without() -> RunReport:
        """The VM without the defect, for as long and a bit; it is not shown, and its dumps are not read."""
        seconds = LEAST_WITHOUT_S + 2 * report.duration_s
        return run_it(replace(options, defect=None, seconds=seconds, dump_dir="", arena_file=None))

    refuse_shortage(report, options.tables, without if options.defect else None)
    for line in tell(report):
        click.echo(line, file=stream)
    return report
