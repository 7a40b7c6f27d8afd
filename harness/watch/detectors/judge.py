"""From facts to suspicions.  Pure: no clock, no arena, no memory but what is handed in.

*certain*: it follows from one snapshot, confirmed by a second: it ends a run.  *notice*: reported with
its evidence, without effect; it becomes certain when it still holds after ``stall_s``, and a
finding when it still holds at the end.  ``catalog`` says which is which.
"""

from harness.locks.waitgraph import Cycle, Edge, find_cycles
from harness.watch import kernel
from harness.watch.detectors.history import History, Limits
from harness.watch.detectors.livelocks import MOST_RESTARTS, livelocks
from harness.watch.detectors.lost_wakeups import lost, none_left
from harness.watch.detectors.orphans import orphans
from harness.watch.detectors.stalls import doing, rounds, stalls, watch_work
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.wait_edges import edges

__all__ = ["MOST_RESTARTS", "History", "Limits", "judge"]
SOFT_LOOKS, SOFT_S = 10, 0.25  # a place in a queue may dissolve when the queue moves


def judge(now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Everything suspicious at this moment; the flags say what is to be done about it."""
    history.wants_census = False
    by_number = {seat.number: seat for seat in now.seats}
    graph = edges(now)
    watch_work(now, history)
    found = _cycles(now, graph, by_number, history)
    found += orphans(now, graph, history, limits)
    found += _frozen(now, graph, by_number, history, limits)
    for seat in now.seats:
        found += lost(seat, now, history, limits)
    explained = {number for one in found for number in one.seats}
    if not any(one.certain for one in found):
        found += none_left(now, graph, history, limits)
    retrying = rounds(now, graph, history, limits)
    found += retrying
    explained |= {number for one in retrying for number in one.seats}
    found += stalls(now, graph, history, limits, explained)
    found += livelocks(now, history, limits)
    history.prune(max(limits.stall_s, limits.livelock_s))
    return found


def _since(seat: SeatFacts, now: Snapshot) -> int:
    return now.taken_ns - int((seat.wait.waited_s if seat.wait else 0.0) * 1e9)


def _cycles(
    now: Snapshot, graph: list[Edge], seats: dict[int, SeatFacts], history: History
) -> list[Suspicion]:
    """Deadlocks: closed rounds in which no wait ends by itself.  A member that is stopped does not matter."""
    lasting = [
        edge
        for edge in graph
        if (wait := seats[edge.waiter].wait) is not None and not wait.timed and edge.holder in seats
    ]
    found = []
    for cycle in find_cycles(lasting):
        members = [seats[node] for node in cycle.nodes]
        if any(seat.dead for seat in members):
            continue
        verdict = "self_deadlock" if len(members) == 1 else "deadlock"
        key = f"{verdict}:{sorted(seat.id for seat in members)}"
        mark = tuple((seat.id, seat.wait_seq) for seat in members)
        seen = history.hold(key, now.taken_ns, mark)
        enough = seen.looks > 1 if cycle.hard else seen.looks > SOFT_LOOKS and seen.told > SOFT_S
        found.append(
            Suspicion(
                verdict=verdict,
                key=key + str(tuple(seat.wait_seq for seat in members)),
                seats=[seat.number for seat in members],
                why=_cycle_sentence(cycle, seats),
                certain=enough,
                since_ns=max(_since(seat, now) for seat in members),
            )
        )
    return found


def _cycle_sentence(cycle: Cycle, seats: dict[int, SeatFacts]) -> str:
    names = " -> ".join(seats[node].role for node in (*cycle.nodes, cycle.nodes[0]))
    soft = "" if cycle.hard else " (through a place in a queue)"
    if len(cycle.nodes) == 1:
        return f"{seats[cycle.nodes[0]].role} waits for itself{soft}"
    return f"{len(cycle.nodes)} threads wait for each other in a circle{soft}: {names}"


def _frozen(
    now: Snapshot, graph: list[Edge], seats: dict[int, SeatFacts], history: History, limits: Limits
) -> list[Suspicion]:
    """Others wait for a thread that the kernel does not let run.  A tracer will let it go on."""
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
