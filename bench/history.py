"""Rows of earlier runs, kept in a file of the repository, and the change since then.

One line of ``history.jsonl`` is one row with the machine and the commit that it was measured on.  A row is
compared only with the newest one of the same benchmark, name, scale and machine; a machine is its
processor, the number of processors, and the version of Python.  The load before the run is kept beside it,
because a row of a busy machine says little.  Refuses nothing: a line that is no row is passed over.
"""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).with_name("history.jsonl")
KEYS = ("bench", "name", "unit", "scale", "machine")


def processor() -> str:
    """The model, as the kernel names it; empty where it does not."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "CPU part"}:
            return value.strip()
    return ""


def machine_of(facts: Mapping[str, object]) -> str:
    """What two rows must have in common to be compared."""
    python = str(facts["python"]).rpartition(".")[0]
    return f"{facts['machine']}, {processor()}, {facts['cpus']} cpus, Python {python}"


def commit() -> str:
    """The commit of the tree, with a plus when files differ from it; empty outside of a repository."""
    try:
        said = [
            subprocess.run(
                ["git", *words], cwd=HISTORY.parent, capture_output=True, text=True, timeout=30, check=True
            ).stdout.strip()
            for words in (["rev-parse", "--short=10", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return said[0] + "+" * bool(said[1])


def earlier(wanted: Mapping[str, object], path: Path = HISTORY) -> dict[str, Any] | None:
    """The newest kept row that ``wanted`` may be compared with."""
    found = None
    for row in kept(path):
        if all(row.get(key) == wanted[key] for key in KEYS):
            found = row
    return found


def kept(path: Path = HISTORY) -> Iterator[dict[str, Any]]:
    """Every row of the file, oldest first."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("value"), int | float):
            yield row


def keep(rows: Iterable[Mapping[str, object]], path: Path = HISTORY) -> None:
    """Append rows, with the commit and the time of now."""
    which, now = commit(), datetime.now(UTC).isoformat(timespec="seconds")
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({**row, "commit": which, "at": now}) + "\n" for row in rows)


def change(value: float, before: Mapping[str, Any] | None) -> str:
    """ "+3.1 % since 2d8465c (load 0.4)"; empty when there is nothing to compare with."""
    if before is None or not before["value"]:
        return ""
    percent = (value / before["value"] - 1) * 100
    return f"{percent:+.1f} % since {before.get('commit') or 'then'} (load {before.get('load')})"
