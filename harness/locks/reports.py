"""The arena's table of reports: what locks, pools, contracts and oracles found wrong.

One walk, without a lock.  A row that is being written, or whose writer was killed in the middle, is none.
What does not fit is overwritten by what comes later: a watcher has taken the first of each kind long before.
"""

import ctypes
from collections.abc import Iterator
from typing import Any

import msgspec

from harness import _native
from harness.locks.held import lock_name
from harness.locks.order import class_names
from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.facts import Details, unpacked

_C = _native.CONSTANTS
_SIZE = ctypes.sizeof(native.Report)
KINDS = {value: name[7:].lower() for name, value in _C.items() if name.startswith("REPORT_")}
VERDICTS = {  # of a kind; the first kind of a verdict is the one that an exception with it is reported as
    "order": "order_violation",
    "order_note": "order_violation",
    "self_deadlock": "self_deadlock",
    "contract": "contract_violation",
    "sleep_holding": "contract_violation",
    "owner_died": "orphaned_lock",
    "invariant": "invariant_violation",
    "wrong_data": "wrong_data",
    "panic": "panic",
    "stale": "unguarded_access",
    "leak": "leak",
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Misuse, with both locks where there are two."""

    number: int
    kind: str  # of KINDS
    seat: int
    when: int  # coarse monotonic ns
    text: str
    held: str  # class of the lock that was held, or empty
    wanted: str
    held_name: str  # class[instance]
    wanted_name: str
    held_lock: int  # offsets, 0 for none
    wanted_lock: int
    held_site: tuple[str, int, str]  # file, line, function; line 0: unknown
    wanted_site: tuple[str, int, str]
    details: Details
    acked: bool = False  # a watcher has dumped it

    @property
    def verdict(self) -> str:
        """What it is called when it is found."""
        return VERDICTS.get(self.kind, "panic")


def row_at(arena: Arena, number: int) -> Any:
    """The row that the report of this number has, or had."""
    return native.Report.from_buffer(arena.mapping, arena.header.reports + number % _C["REPORTS"] * _SIZE)


def rows(arena: Arena) -> Iterator[Any]:
    """Each row that is complete and still in the table, oldest first."""
    count = int(arena.header.report_count)
    for number in range(max(0, count - _C["REPORTS"]), count):
        row = row_at(arena, number)
        if row.state == number + 1:
            yield row


def report_at(arena: Arena, number: int) -> Report | None:
    """The report of this number; None: it is being written, or its writer was killed meanwhile.

    LookupError: a later one has taken its place.
    """
    row = row_at(arena, number)
    found = _report(arena, row) if row.state == number + 1 else None
    if row.state > number + 1 or (found and row.state != number + 1):
        raise LookupError(number)
    return found


def reports(arena: Arena) -> list[Report]:
    """Every report that is still in the table, oldest first."""
    return [_report(arena, row) for row in rows(arena)]


def forget(arena: Arena) -> None:
    """Empty the table.  No thread works in the arena."""
    start = int(arena.header.reports)
    arena.mapping[start : start + _SIZE * _C["REPORTS"]] = bytes(_SIZE * _C["REPORTS"])
    arena.header.report_count = 0


def _report(arena: Arena, row: Any) -> Report:
    names = class_names(arena)
    return Report(
        number=int(row.state) - 1,
        kind=KINDS.get(int(row.kind), f"report {row.kind}"),
        seat=int(row.seat),
        when=int(row.when),
        text=row.text.decode(errors="replace"),
        held=names.get(int(row.class_a), ""),
        wanted=names.get(int(row.class_b), ""),
        held_name=lock_name(arena, int(row.lock_a)) if row.lock_a else "",
        wanted_name=lock_name(arena, int(row.lock_b)) if row.lock_b else "",
        held_lock=int(row.lock_a),
        wanted_lock=int(row.lock_b),
        held_site=_site(arena, int(row.site_a)),
        wanted_site=_site(arena, int(row.site_b)),
        details=unpacked(int(row.mistake), arena.native.name(row.step), bytes(row.details[: row.size])),
        acked=row.acked == row.state,
    )


def _site(arena: Arena, number: int) -> tuple[str, int, str]:
    try:
        return arena.native.site(number)
    except UnicodeDecodeError:  # cut in the middle of a character
        return ("", 0, "")
