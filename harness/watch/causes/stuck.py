"""The class of a cause when nothing gets on: which way a thread goes round, and where all waiting ends."""

from harness.watch.causes.reported import FEW_THREADS, named
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.wait_edges import edges

ROUND_EVENTS = 40  # of a thread's newest events, in which its way round is looked for
MOST_PLACES = 6


def cause_of_livelock(snapshot: Snapshot, seat: SeatFacts) -> str:
    """Which way it goes round, and whether any thread is left that could change what it finds."""
    way = repeating_cycle(seat)
    going = f"it starts again and again, by way of {', '.join(way)}" if way else "it starts again and again"
    others = [
        other
        for other in snapshot.seats
        if other.number != seat.number and not other.dead and other.operation
    ]
    moving = [
        other.role for other in others if other.wait is None or other.wait.timed or other.wait.kind == "io"
    ]
    if not others:
        return f"Cause: {going}; no other thread is at work, so it will find the same every time"
    if not moving:
        return f"Cause: {going}; all others wait, so it will find the same every time"
    return f"Cause: {going}; {named(moving)} {'are' if len(moving) > 1 else 'is'} at work beside it"


def repeating_cycle(seat: SeatFacts) -> list[str]:
    """The places of the shortest round that its newest events make twice; empty when they make none."""
    marks = [(event.kind, event.what, event.site) for event in seat.events[-ROUND_EVENTS:]]
    for length in range(1, len(marks) // 2 + 1):
        if marks[-length:] == marks[-2 * length : -length]:
            places = [site for _, _, site in marks[-length:] if site and site != "?"]
            return list(dict.fromkeys(places))[:MOST_PLACES]
    return []


def cause_of_standstill(snapshot: Snapshot, suspicion: Suspicion) -> str:
    """Where the waiting of all ends: at threads that wait for no thread."""
    by_number = {seat.number: seat for seat in snapshot.seats}
    graph = edges(snapshot)
    waiting = {edge.waiter for edge in graph}
    roots = {edge.holder for edge in graph} - waiting
    told = []
    for number in sorted(roots & by_number.keys()):
        behind = _behind(number, [(edge.waiter, edge.holder) for edge in graph])
        seat = by_number[number]
        told.append(f"{len(behind)} wait, directly or not, for {seat.role}, which {_doing(seat)}")
    if not told:
        alone = [seat for seat in snapshot.seats if seat.number in suspicion.seats]
        told = [f"{seat.role} waits for no thread: it {_doing(seat)}" for seat in alone[:FEW_THREADS]]
    return f"Cause: {'; '.join(told)}" if told else ""


def _behind(root: int, links: list[tuple[int, int]]) -> set[int]:
    found, fresh = set[int](), {root}
    while fresh:
        fresh = {waiter for waiter, holder in links if holder in fresh} - found
        found |= fresh
    return found


def _doing(seat: SeatFacts) -> str:
    """What a thread does that waits for no thread."""
    inside = f" in {seat.operation}" if seat.operation else ""
    if seat.state in ("T", "t"):
        return f"is stopped{inside} (try: kill -CONT {seat.pid})"
    wait = seat.wait
    if wait is not None and wait.kind == "io":
        return f"is in I/O (`{wait.wmesg}`){inside} for {wait.waited_s:.3f} s"
    if wait is not None:
        return f"waits for {wait.lock}{inside}, {wait.site}"
    busy = {"R": "computes", "D": "sits in the kernel", "S": "sleeps outside of our locks"}
    since = f" for {seat.operation_for_s:.3f} s" if seat.operation else ""
    return f"{busy.get(seat.state, 'runs')}{inside}{since}"
