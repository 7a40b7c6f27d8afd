"""make mutants: try them, print which check noticed each, and what survived without an argument.

Exit: 0 every mutant that can be noticed was, 1 one survived or could not be made, 2 usage,
3 the unchanged tree fails.
"""

import argparse
import importlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from ci.mutants.engine import CannotMutate, Result, Suite, run

SUITES = ("core", "models", "watch", "vmcore")


def main() -> int:
    """Parse the options, run the suites, print the account."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that directories and workers go
    status = 0
    for name in options.only or SUITES:
        try:
            suite = load(name)
        except ModuleNotFoundError:
            if options.only:
                print(
                    f"mutants: there is no ci/mutants/{name}.py\n  try: make mutants ONLY=core",
                    file=sys.stderr,
                )
                return 2
            continue
        try:
            status = max(status, account(suite, options))
        except CannotMutate as e:
            print(f"mutants: {e.message}\n  try: {e.hint}", file=sys.stderr)
            return 3
    return status


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ci.mutants", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=SUITES, help="one part of the tree (again: another)"
    )
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn with --seed (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--name", default="", help="only those whose name holds this text")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="copies at a time")
    parser.add_argument(
        "--log",
        type=Path,
        help="keep results there: those in it are not tried again, nor is the unchanged tree",
    )
    parser.add_argument("--again", action="store_true", help="go on with what survived in the log")
    parser.add_argument("--most", type=int, default=0, help="at most so many tries of each (0: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    return parser.parse_args()


def load(name: str) -> Suite:
    """Return SUITE of ci/mutants/NAME.py."""
    suite = importlib.import_module(f"ci.mutants.{name}").SUITE
    assert isinstance(suite, Suite)
    return suite


def account(suite: Suite, options: argparse.Namespace) -> int:
    chosen = [mutant for mutant in suite.mutants if options.name in mutant.name]
    if options.sample and options.sample < len(chosen):
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    if options.list:
        print("\n".join(f"{suite.name}: {mutant.name}" for mutant in chosen))
        return 0
    began, before = time.monotonic(), read(options.log, suite)
    results = [kept for kept in before.values() if kept.status == "killed" or not options.again]
    results = [kept for kept in results if kept.mutant in chosen]
    done = {kept.mutant for kept in results}
    left = [mutant for mutant in chosen if mutant not in done]
    survived = {name: tuple(kept.tried) for name, kept in before.items()} if before else None
    for result in run(suite, left, options.jobs, survived, options.most):
        result.tried[:0] = (survived or {}).get(result.mutant.name, ())
        results.append(result)
        print(row(suite, result), flush=True)
        write(options.log, result)
    return total(suite, results, time.monotonic() - began)


def read(log: Path | None, suite: Suite) -> dict[str, Result]:
    """What is known of each mutant; the last line of a name counts."""
    lines = log.read_text().splitlines() if log and log.exists() else []
    mutants = {mutant.name: mutant for mutant in suite.mutants}
    rows = (json.loads(line) for line in lines)
    return {row["name"]: Result(mutants[row.pop("name")], **row) for row in rows if row["name"] in mutants}


def write(log: Path | None, result: Result) -> None:
    """One line more."""
    if log:
        row = {key: value for key, value in vars(result).items() if key != "mutant"}
        with log.open("a") as out:
            out.write(json.dumps({"name": result.mutant.name, **row}) + "\n")


def row(suite: Suite, result: Result) -> str:
    line = f"{suite.name}: {result.status:8} {result.mutant.name}"
    if result.status == "killed":
        last = result.evidence.strip().splitlines()[-1:] or [""]
        return f"{line}  <- {result.by} ({result.seconds:.0f} s): {last[0][:160]}"
    if result.status == "not made":
        return f"{line}: {result.evidence}"
    return f"{line}: {result.mutant.equivalent or 'NOTHING NOTICED IT'}"


def total(suite: Suite, results: list[Result], seconds: float) -> int:
    killers: dict[str, int] = {}
    for result in results:
        if result.status == "killed":
            killers[result.by] = killers.get(result.by, 0) + 1
    killed = sum(killers.values())
    argued = [r for r in results if r.status == "survived" and r.mutant.equivalent]
    loose = [r for r in results if r.status == "survived" and not r.mutant.equivalent]
    broken = [r for r in results if r.status == "not made"]
    by = ", ".join(f"{name} {count}" for name, count in sorted(killers.items(), key=lambda item: -item[1]))
    print(
        f"{suite.name}: {len(results)} mutants, {killed} killed ({by}), "
        f"{len(argued)} equivalent by argument, {len(loose)} survived, {len(broken)} not made; "
        f"{seconds:.0f} s"
    )
    return 1 if loose or broken else 0


if __name__ == "__main__":
    sys.exit(main())
