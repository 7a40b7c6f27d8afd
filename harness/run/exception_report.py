"""What is written down of an exception: strings only, which always travel.

Also told to a watcher, through the arena's reports, while the thread that failed is
still there to be looked at.
"""

import os
import traceback

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena
from harness.watch import stacks
from harness.watch.detectors.judge import REPORTS

_PANIC = _native.CONSTANTS["REPORT_PANIC"]
_KINDS = {verdict: kind for kind, verdict in reversed(REPORTS.items())}  # the first kind of each verdict
_HERE = os.path.dirname(__file__) + os.sep
MOST_REPORTED = 320  # characters of a text in a report, which has room for a little more
_MOST_TEXT = 20_000  # characters of a traceback that travel


def describe(error: BaseException, arena: "Arena", report: bool = False) -> tuple[str, str, str, str, str]:
    """(class, text, traceback, verdict, place) of an exception: strings, which always travel.

    With ``report`` it is reported to the watcher, while this thread is still there to be looked at; what
    locks and checked records found themselves they have reported already.
    """
    verdict = str(getattr(type(error), "verdict", ""))
    text = str(error) or type(error).__name__
    if getattr(type(error), "follows_from_a_death", False):
        report = False  # the lock has reported the death to its next holder
    if report and not (getattr(type(error), "reports_itself", False) and reported(arena, verdict)):
        where = os.path.basename(place(error))
        stacks.publish(error)
        arena.native.report(
            _KINDS.get(verdict, _PANIC), f"{type(error).__name__}: {text[:MOST_REPORTED]} ({where})"
        )
    trace = "".join(traceback.format_exception(error))
    return type(error).__name__, text, trace[-_MOST_TEXT:], verdict, place(error)


def reported(arena: "Arena", verdict: str) -> bool:
    """Is there a report that means this verdict, by this thread's seat?"""
    header, seat, size = arena.header, arena.native.seat(), _native.LAYOUT["hd_report"][0]
    for i in range(min(int(header.report_count), _native.CONSTANTS["REPORTS"])):
        row = native.Report.from_buffer(arena.mapping, header.reports + i * size)
        if row.state and row.seat == seat and REPORTS.get(row.kind) == verdict:
            return True
    return False


def place(error: BaseException) -> str:
    """``file:line function``: the innermost frame that is not the harness's own machinery here."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(_HERE)]
    if not (outside or frames):
        return ""
    frame = (outside or list(frames))[-1]
    return f"{frame.filename}:{frame.lineno} {frame.name}"
