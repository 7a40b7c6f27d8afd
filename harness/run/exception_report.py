"""What is written down of an exception: plain values only, which always travel.

Also told to a watcher, through the arena's reports, while the thread that failed is
still there to be looked at.
"""

import os
import traceback

import msgspec

from harness.locks import reports
from harness.shm.arena import Arena
from harness.shm.facts import Details, said_by
from harness.shm.facts import report as tell
from harness.watch import stacks

_KINDS = {reports.VERDICTS[kind]: code for code, kind in sorted(reports.KINDS.items(), reverse=True)}
_PANIC = _KINDS["panic"]
_HERE = os.path.dirname(__file__) + os.sep
MOST_REPORTED = 320  # characters of a text in a report, which has room for a little more
_MOST_TEXT = 20_000  # characters of a traceback that travel


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """An exception: its class, text, verdict and place (file:line function), and what it is about."""

    error: str
    text: str
    traceback: str
    verdict: str
    where: str
    exhausted: bool = False
    details: Details = Details()


def describe(error: BaseException, arena: "Arena", report: bool = False) -> Raised:
    """An exception as data.

    With ``report`` it is reported to the watcher, while this thread is still there to be looked at; what
    locks and checked records found themselves they have reported already.
    """
    verdict = str(getattr(type(error), "verdict", ""))
    text, details = str(error) or type(error).__name__, said_by(error)
    if getattr(type(error), "follows_from_a_death", False):
        report = False  # the lock has reported the death to its next holder
    if report and not (getattr(type(error), "reports_itself", False) and reported(arena, verdict)):
        where = os.path.basename(place(error))
        stacks.publish(error)
        said = f"{type(error).__name__}: {text[:MOST_REPORTED]} ({where})"
        tell(arena, _KINDS.get(verdict, _PANIC), said, details, here=False)
    return Raised(
        error=type(error).__name__,
        text=text,
        traceback="".join(traceback.format_exception(error))[-_MOST_TEXT:],
        verdict=verdict,
        where=place(error),
        exhausted=bool(getattr(error, "exhausted", False)),
        details=details,
    )


def reported(arena: "Arena", verdict: str) -> bool:
    """Is there a report that means this verdict, by this thread's seat?"""
    seat = arena.native.seat()
    return any(one.seat == seat and one.verdict == verdict for one in reports.reports(arena))


def place(error: BaseException) -> str:
    """``file:line function``: the innermost frame that is not the harness's own machinery here."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(_HERE)]
    if not (outside or frames):
        return ""
    frame = (outside or list(frames))[-1]
    return f"{frame.filename}:{frame.lineno} {frame.name}"
