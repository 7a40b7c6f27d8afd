"""A script whose roles do not end: a finding like any other.

No role is told to end in a script; every role comes to its end by itself.  One that is still there when
the time is up has hung.  The run says so by itself; here the script's own words are added: which cue it was
at, and which gates had been passed.
"""

from __future__ import annotations

import msgspec

from harness.outcome import Outcome, Passed, RunResult
from stress.run.opening import OwnFindings
from stress.run.world import World


def unfinished_script(own: OwnFindings, world: World, result: RunResult) -> RunResult:
    """The result; when the clock ended a role, and nothing else explains it, in a script's words."""
    left = [one for one in result.outcomes if not (one.service or isinstance(one, Passed))]
    hung = [one for one in result.findings if one.verdict == "hung"]
    if len(result.findings) > len(hung) or result.ended_by != "time limit" or not left:
        return result
    told = world.known_sync_points.unfinished()
    why = f"{own.options.what} was ended by the clock after {result.duration_s:.1f} s: " + "; ".join(
        f"role {one.role} did not end{place(one)}" for one in left
    )
    summary = f"{why}. {told}".rstrip(". ")
    if hung:  # with the picture of the moment before they were ended
        return msgspec.structs.replace(result, findings=(msgspec.structs.replace(hung[0], summary=summary),))
    finding = own.record(world.arena, "hung", summary, [one.seat for one in left])
    return msgspec.structs.replace(result, findings=(finding,))


def place(outcome: Outcome) -> str:
    """Where it was, as far as that is known."""
    return f" (it was at {outcome.where})" if outcome.where else ""
