"""``python -m tests.truth [NAME ...]``: run programs of known truth, JOBS at a time, and print a table.

A name may end in ``*``.  ``--json FILE`` writes everything that was said; the exit status is 1 if any
program was not judged rightly.
"""

import argparse
import fnmatch
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.truth.programs import PROGRAMS
from tests.truth.runner import Outcome, as_json, run_apart, run_here

JOBS = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"])
    parser.add_argument("--one", action="store_true", help="in this process, the answer as JSON")
    parser.add_argument("--json", type=Path, help="write one JSON object per program")
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args()
    if options.one:
        print(as_json(run_here(options.names[0])), flush=True)
        return 0
    chosen = [name for name in PROGRAMS if any(fnmatch.fnmatch(name, one) for one in options.names)]
    if not chosen:
        parser.error(f"no program is called {' '.join(options.names)}")
    outcomes = run_all(chosen, options.jobs)
    if options.json:
        options.json.write_text("".join(as_json(one) + "\n" for one in outcomes))
    counts = {
        word: sum(one.outcome == word for one in outcomes) for word in ("right", "wrong", "missed", "broken")
    }
    print(f"\n{len(outcomes)} programs: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return int(counts["right"] != len(outcomes))


def run_all(names: list[str], jobs: int) -> list[Outcome]:
    found = []
    with ThreadPoolExecutor(min(jobs, JOBS)) as pool:
        for future in as_completed([pool.submit(run_apart, name) for name in names]):
            one = future.result()
            found.append(one)
            mark = "" if one.outcome == "right" else f"  {one.why}"
            print(f"{one.outcome:7}{one.name:44}{one.truth or '-':18}{one.seconds:6.1f} s{mark}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
