"""The smallest program that the harness can explain: two processes, two locks, both orders.

    python examples/two_lock_deadlock.py

It says who holds what, since when and from which line, and exits 1: something was found.
"""

import sys
import tempfile
from pathlib import Path

from hangdog import Mutex, RoleSpec, Session, WorkerContext
from harness.watch import dump
from harness.watch.render.text import render


def take_both(context: WorkerContext, first: Mutex, second: Mutex) -> None:
    """Take one lock, and when the other process has the second one, ask for that."""
    with context.step("take both"), first:
        while not second.locked() and not context.should_stop():
            pass  # without this gate it would hang once in a thousand runs
        with second:
            context.send("had both")


def main() -> int:
    """Run it under a watchdog and print what was found."""
    with tempfile.TemporaryDirectory() as folder:
        with Session(dump_dir=folder, scenario="two locks") as session:
            left, right = session.arena.mutex("left"), session.arena.mutex("right")
            roles = [RoleSpec("one", take_both, (left, right)), RoleSpec("other", take_both, (right, left))]
            result = session.run_roles(roles)
        for finding in result.findings:
            sys.stdout.write(render(dump.read(Path(finding.dump)), everything=False) + "\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
