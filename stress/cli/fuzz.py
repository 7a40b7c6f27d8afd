"""``hangdog fuzz``: draw programs of VM operations until one fails, and shrink that one.

Guarantees: with ``--json`` exactly one object goes to standard output; progress always goes to standard
error.  The exit code is 1 when a program failed, also when an interrupt ended its shrinking, 130 when
nothing had been found before an interrupt.  What was found is kept as a scenario file, beside its dump.
"""

from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from harness.errors import BadInput
from stress.cli.interrupts import interruptible
from stress.cli.messages import say
from stress.cli.preflight import require_descriptors, require_folder, require_here, require_names
from stress.cli.run import run
from stress.run.options import DISKS, RunOptions

FINDINGS = 1
AS_IN_RUN = ("mode", "seed", "defect", "noise", "stops", "checks", "checked", "pages", "dump_dir", "as_json")


def options_of_run(command: click.Command) -> click.Command:
    """The options that mean the same as in ``hangdog run``, behind the command's own."""
    command.params += [param for param in run.params if param.name in AS_IN_RUN]
    return command


@options_of_run
@click.command()
@click.option(
    "--examples", type=int, metavar="N", help="Draw at most so many programs (as many as the time allows)."
)
@click.option(
    "--seconds",
    "--time",
    type=float,
    help="Draw programs for so long (60; with --examples: until there are so many); shrinking one that "
    "fails takes at most as long again.",
)
@click.option("--workers", type=int, help="Processes (or threads) that play a program (one per role).")
@click.option("--epochs", type=int, default=1, show_default=True, help="Rounds of run, park and audit a run.")
def fuzz(
    *, dump_dir: Path, as_json: bool, examples: int | None, seconds: float | None, workers: int | None,
    epochs: int, **given: Any,
) -> int:  # fmt: skip
    """Draw programs of VM operations, play each a few times, and shrink the first that fails.

    Exit code 0: none failed; 1: one did.  It is kept in the folder of the dumps, as a scenario that
    `hangdog run` plays again.
    """
    # Imported here: neither help nor the other commands need Hypothesis or a VM.
    from stress.cli.fuzz_report import Lines, keep, report_of, tell
    from stress.fuzz.hunt import Hunt, HuntOptions

    options = HuntOptions(
        base=base_of(given), examples=examples, seconds=seconds, workers=workers, epochs=epochs
    )
    require_here()
    require_folder(dump_dir, "hangdog fuzz --dump-dir /tmp/hangdog-dumps")
    require_descriptors((workers or options.most_roles) + DISKS, "hangdog fuzz --workers 1")
    with interruptible() as heed:
        so_far = Hunt(options, Lines(options.base, heed).update).hunt(partial(keep, dump_dir))
    report = report_of(options, so_far)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        for line in tell(report):
            click.echo(line)
    if report.ended_by != "interrupt":
        return FINDINGS if report.findings else 0
    if not report.findings:
        raise KeyboardInterrupt
    say("interrupted: a smaller program may fail as well", report.findings[0].reproduce)
    return FINDINGS


def base_of(given: dict[str, Any]) -> RunOptions:
    """What all runs have in common.  BadInput for what no run could be made of, an unknown defect too."""
    from stress.defect import find_defect

    if given["defect"]:
        require_names(given["defect"])
        find_defect(given["defect"])
    try:
        return RunOptions(**given)
    except BadInput as error:
        raise BadInput(str(error), error.hint.replace("hangdog run", "hangdog fuzz")) from None
