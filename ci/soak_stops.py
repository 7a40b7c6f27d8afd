"""make soak: runs of every scenario beside busy processes, while their members are stopped and continued.

The VM is the right one and every stopped member is continued, so whatever a run finds is not true, or is an
error of ours.  Runs whose exit code is not 0 stay under --out: output, dumps, and what was stopped when.

Exit: 0 nothing was found, 1 something was or a run did not end, 2 usage, 130 interrupted before anything was.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ci.soak_run import KINDS, Account, Order, Run, begin_child
from stress.scenario.scenario import all_scenarios

TURN_S = 0.05
MODES = (("process", False), ("thread", True), ("process", True), ("thread", False))
# It checks for its parent now and then, so that it ends with us also where no signal tells it.
BUSY = "import os\nwhile os.getppid() == {parent}:\n    for _ in range(10**6): pass\n"


def main(argv: list[str] | None = None) -> int:
    """Parse, run until the time is up, print the account."""
    options = arguments(argv)
    hangdog = Path(sys.executable).with_name("hangdog")
    if not hangdog.exists():
        print(f"soak: there is no {hangdog}\n  try: make setup", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    asked: list[int] = []  # an exception in the middle of a start would lose what was started
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: asked.append(number))
    done: list[Account] = []
    busy: list[subprocess.Popen[bytes]] = []
    begun = time.monotonic()
    try:
        for _ in range(options.busy):
            busy.append(start_busy(options.busy_nice))  # noqa: PERF401 - the end must see each
        soak(options, hangdog, done, asked)
    finally:
        for process in busy:
            process.kill()
            process.wait(60)
    print(summary(done, time.monotonic() - begun))
    if not all(account.clean for account in done):
        return 1
    return 130 if asked else 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Options with a meaning; SystemExit 2 for others."""
    parser = argparse.ArgumentParser(prog="python -m ci.soak_stops", description=__doc__)
    parser.add_argument("--minutes", type=above_zero, default=60.0, help="no new run after so long (60)")
    parser.add_argument("--seconds", type=above_zero, default=20.0, help="of one run (20)")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (0)")
    parser.add_argument("--busy", type=int, default=10, help="busy processes beside the runs (10)")
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time (1)")
    parser.add_argument("--nice", type=int, default=0, help="of the runs (0)")
    parser.add_argument("--busy-nice", type=int, default=0, help="of the busy processes (0)")
    parser.add_argument(
        "--limit", type=above_zero, default=900.0, help="a run ends within so many seconds (900)"
    )
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="this one (again: another)")
    parser.add_argument(
        "--out", type=Path, default=None, help="where runs with findings stay (soak-results/stops-SEED)"
    )
    options = parser.parse_args(argv)
    if min(options.busy, options.nice, options.busy_nice) < 0 or options.at_once < 1:
        parser.error("--busy, --nice and --busy-nice are 0 or more, --at-once is 1 or more")
    for name in options.only or ():
        if name not in all_scenarios():
            parser.error(f"there is no scenario {name!r}: see `hangdog list scenarios`")
    options.out = options.out or Path("soak-results") / f"stops-{options.seed}"
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} holds the runs of another soak: move it away, or give another --out")
    return options


def above_zero(text: str) -> float:
    """A number of minutes or seconds."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time: it must be above 0")
    return number


def start_busy(nice: int) -> subprocess.Popen[bytes]:
    """A process that wants a processor all the time."""
    command = [sys.executable, "-c", BUSY.format(parent=os.getpid())]
    begin = partial(begin_child, nice)
    return subprocess.Popen(command, start_new_session=True, preexec_fn=begin)  # noqa: PLW1509 - one thread


def soak(options: argparse.Namespace, hangdog: Path, done: list[Account], asked: list[int]) -> None:
    """Keep so many runs going until the time is up or ``asked``; append what became of each."""
    todo = orders(options)
    deadline = time.monotonic() + 60 * options.minutes
    runs: list[Run] = []
    try:
        while not asked and (runs or time.monotonic() < deadline):
            while len(runs) < options.at_once and time.monotonic() < deadline:
                runs.append(Run(next(todo), options.out, hangdog, options.nice, options.limit))
            for run in runs:
                run.turn()
            for run in [run for run in runs if run.over]:
                runs.remove(run)
                done.append(run.account())
                print(row(done[-1]), flush=True)
            time.sleep(TURN_S)
    finally:
        for run in runs:  # interrupted: what it would have found cannot be said
            run.end()
            shutil.rmtree(run.folder)


def orders(options: argparse.Namespace) -> Iterator[Order]:
    """Every scenario once a round, in an order of chance; four rounds, or four seeds one after another, take
    each through all four ways.
    """
    rng = random.Random(options.seed)
    names = options.only or list(all_scenarios())
    number = 0
    while True:
        round_ = number // len(names)
        for place in rng.sample(range(len(names)), len(names)):
            mode, checked = MODES[(place + round_ + options.seed) % len(MODES)]
            yield Order(number, names[place], mode, checked, rng.randrange(1, 2**31), options.seconds)
            number += 1


def row(account: Account) -> str:
    """One run on one line, and what it found below."""
    stops = ", ".join(f"{stop.role} {stop.lasted:.0f}s" for stop in account.stops)
    said = {None: "DID NOT END", 0: "clean"}.get(account.exit_code, f"EXIT {account.exit_code}")
    order = account.order
    lines = [f"{order.name} seed {order.seed}: {said}, {account.took:.0f} s, {account.steps} steps; {stops}"]
    lines += [f"  FOUND {one['verdict']}: {one['summary']}" for one in account.findings]
    lines += [f"  told {one['verdict']}: {one['summary']}" for one in account.notices]
    return "\n".join(lines)


def summary(done: list[Account], seconds: float) -> str:
    """Counts per scenario and per kind of stopped member."""
    runs, bad = Counter(a.order.scenario for a in done), [a for a in done if not a.clean]
    found = Counter(one["verdict"] for a in done for one in a.findings)
    told = Counter(one["verdict"] for a in done for one in a.notices)
    stops = [stop for a in done for stop in a.stops]
    kinds = Counter(stop.kind for stop in stops)
    holding = Counter(stop.kind for stop in stops if stop.holds)
    lines = ["", f"{len(done)} runs in {seconds / 60:.1f} minutes, {sum(a.steps for a in done):,} steps"]
    for name, count in sorted(runs.items()):
        others = [a for a in bad if a.order.scenario == name]
        lines.append(f"  {name:20} {count:4} runs, {len(others)} not clean")
    never = sorted(set(all_scenarios()) - set(runs))
    lines.append(f"  not run: {', '.join(never) or 'none'}")
    lines.append(f"stops: {len(stops)}, {sum(stop.lasted for stop in stops) / 60:.1f} minutes")
    lines += [f"  {kind:20} {kinds[kind]:4}, {holding[kind]} of them while it held a lock" for kind in KINDS]
    lines.append(f"findings: {sum(found.values())} {dict(found) or ''}")
    lines.append(f"notices: {sum(told.values())} {dict(told) or ''}")
    lines.append(f"not clean: {', '.join(a.order.name for a in bad) or 'none'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
