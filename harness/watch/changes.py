"""Which thread changed a word last: read from the seats' rows, never guessed.

A thread that changes a word on which others sleep notes it in its own seat
(``native.unclaim``, ``native.changed``).  A row is forgotten when another word falls on the
same place, or when the seat is taken by another thread; then there is no answer.
"""

from typing import Any

from harness import _native
from harness.watch.reader import Reader
from harness.watch.records import ChangeFact

CHANGES: int = _native.CONSTANTS["CHANGES"]
MIX = 0x9E3779B97F4A7C15


def last_change(reader: "Reader", address: int, now: int) -> ChangeFact | None:
    """The newest note about the word at ``address``; of threads that have left, too."""
    place = (address * MIX & 0xFFFF_FFFF_FFFF_FFFF) >> 32 & (CHANGES - 1)
    found: tuple[int, int, int, int, Any] | None = None
    for seat in reader.seats:
        row = seat.changes[place]
        if not seat.live or row.address != address:
            continue
        note = (int(row.when), int(row.site), int(row.outer), int(row.step), seat)
        if row.address == address and (found is None or note[0] > found[0]):
            found = note
    if found is None:
        return None
    when, site, outer, step, seat = found
    return ChangeFact(
        seat=int(seat.number),
        id=int(seat.id),
        step=step,
        who=f"{seat.role.decode(errors='replace')} (pid {seat.pid})",
        age_s=max(0, now - when) / 1e9,
        site=reader.site(site),
        outer=reader.site(outer) if outer else "",
    )
