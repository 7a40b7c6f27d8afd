"""Threads that wait for each other: a circle of waits of which none ends by itself."""

from harness.locks.waitgraph import Cycle, Edge, find_cycles
from harness.watch.detectors.history import History
from harness.watch.records import SeatFacts, Snapshot, Suspicion

SOFT_LOOKS, SOFT_S = 10, 0.25  # a place in a queue may dissolve when the queue moves


def _since(seat: SeatFacts, now: Snapshot) -> int:
    return now.taken_ns - int((seat.wait.waited_s if seat.wait else 0.0) * 1e9)


def deadlocks(
    now: Snapshot, graph: list[Edge], seats: dict[int, SeatFacts], history: History
) -> list[Suspicion]:
    """Closed rounds in which no wait ends by itself.  A member that is stopped does not matter."""
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
