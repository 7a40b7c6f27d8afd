"""Dumps that the supervisor writes itself: of a worker that died, that failed unseen, or that hung.

The watchdog may be late, quiet or gone then.  ``of_worker`` and ``of_hung`` never fail: a result without
a dump is better than no result.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.run.plan import RunPlan
from harness.run.watchdog_process import folder_of, meta_of
from harness.watch import dump as dumps
from harness.watch.records import Dump, HeldFact, SeatFacts, Suspicion
from harness.watch.render.sentences import wait_text
from harness.watch.render.text import render
from harness.watch.snapshot import Reader, take

MOST_NAME = 40  # characters of a worker in a file's name
_MACHINERY = ("harness/run/", "multiprocess/")  # frames below and above a role's own


def of_worker(plan: RunPlan, worker: str, seat: int, verdict: str, why: str, **known: Any) -> tuple[str, str]:
    """(path of the dump, what went wrong); one of them is empty, both when dumps are not wanted.

    ``known``: what is known as data, by the names of Suspicion.
    """
    folder = folder_of(plan)
    if folder is None:
        return "", ""
    try:
        reader = Reader(plan.arena)
        suspicion = Suspicion(
            verdict=verdict, key=f"{verdict}:{worker}", seats=[seat] if seat else [], why=why, **known
        )
        dump = dumps.build(reader, take(reader), suspicion, meta_of(plan), with_stacks=False)
        return str(dumps.write(folder / file_name(plan, worker, verdict), dump)), ""
    except Exception as error:  # noqa: BLE001 - it reads what a dying program left
        return "", f"no dump of {verdict} by {worker}: {type(error).__name__}: {error}"


def of_hung(plan: RunPlan, late: Sequence[tuple[str, int]], why: str) -> tuple[str, str, str, str]:
    """(summary, path, text, trouble) for workers, as (name, seat), that were told to end and did not.

    They are still there: their stacks are taken, and the summary says where each of them is.
    """
    try:
        reader = Reader(plan.arena)
        suspicion = Suspicion(
            verdict="hung", key="hung", seats=[seat for _, seat in late if seat], why=f"{why}: hung"
        )
        dump = dumps.build(reader, take(reader), suspicion, meta_of(plan))
        by_seat = {thread.number: thread for thread in dump.threads}
        lines = [f"{name} {place_of(by_seat.get(seat))}" for name, seat in late]
        dump = msgspec.structs.replace(dump, summary=f"{why}: {'; '.join(lines)}", cycle=lines)
        folder = folder_of(plan)
        if folder is None:
            return dump.summary, "", render(dump), ""
    except Exception as error:  # noqa: BLE001 - the finding matters more than its dump
        names = ", ".join(name for name, _ in late)
        return f"{why}: {names}", "", "", f"no dump of hung: {type(error).__name__}: {error}"
    try:
        return dump.summary, written(folder, file_name(plan, late[0][0], "hung"), dump), "", ""
    except dumps.DumpError as error:
        return dump.summary, "", render(dump), str(error)


def written(folder: Path, name: str, dump: Dump) -> str:
    """The path of the file.  DumpError."""
    return str(dumps.write(folder / name, dump))


def file_name(plan: RunPlan, worker: str, verdict: str) -> str:
    """A name that every file system takes and that can be pasted: no blank, no colon, not long."""
    names = (re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in (plan.arena.name, worker))
    return "-".join([*(name[:MOST_NAME].strip("-") or "x" for name in names), f"{verdict}.json"])


def place_of(thread: SeatFacts | None) -> str:
    """Where a thread is: what it waits for or does, and the innermost line of its own code."""
    if thread is None:
        return "has no seat"
    if thread.state in ("T", "t"):
        doing = "is stopped"
    elif thread.wait is not None:
        doing = wait_text(thread)
    else:
        doing = "runs" if thread.state == "R" else f"is in the kernel, outside of our locks ({thread.state})"
    during = f" in {thread.operation}" if thread.operation else ""
    own = next((line for line in thread.stack if not any(part in line for part in _MACHINERY)), "")
    return f"{doing}{during}" + (f", at {own}" if own else "")


def held_by(plan: RunPlan, seat: int) -> list[HeldFact]:
    """Locks that a dead worker held when it died, and that still name it; [] when that cannot be read."""
    if not seat:
        return []
    try:
        return next((facts.held for facts in take(Reader(plan.arena)).seats if facts.number == seat), [])
    except Exception:  # noqa: BLE001 - the death is reported without them, too
        return []
