"""A thread that others wait for, and that the kernel does not let run."""

from harness.locks.waitgraph import Edge
from harness.watch import kernel
from harness.watch.detectors.history import History, Limits
from harness.watch.detectors.stalls import doing
from harness.watch.records import SeatFacts, Snapshot, Suspicion


def frozen(
    now: Snapshot, graph: list[Edge], seats: dict[int, SeatFacts], history: History, limits: Limits
) -> list[Suspicion]:
    """Others wait for a thread that is stopped or in uninterruptible sleep.  A tracer will let it go on."""
    found = []
    for number in sorted({edge.holder for edge in graph}):
        holder = seats.get(number)
        if holder is None:
            continue
        key = f"frozen:{holder.id}"
        if holder.dead or holder.state not in (*kernel.STOPPED, "D"):
            history.forget(key)
            continue
        seen = history.hold(key, now.taken_ns)
        waiters = [edge.waiter for edge in graph if edge.holder == number]
        what = next(edge.what for edge in graph if edge.holder == number)
        hint = f"; try: kill -CONT {holder.pid}" if holder.state == "T" and not holder.tracer else ""
        since = (now.taken_ns - seen.first_ns) / 1e9
        found.append(
            Suspicion(
                verdict="frozen",
                key=f"{key}:{seen.first_ns}",
                seats=[number, *waiters],
                why=f"{holder.name} {doing(holder)} for {since:.3f} s at least, "
                f"while {len(waiters)} wait for it ({what}){hint}",
                certain=seen.told >= limits.stall_s and not holder.tracer,
                notice=seen.told >= limits.frozen_s,
                since_ns=seen.first_ns,
            )
        )
    return found
