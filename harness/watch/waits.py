"""Who waits for whom, built from one snapshot.

*hard*: the other holds what is wanted (a lock, a claim on the word, the end of a thread).
*soft*: the other is only ahead in a queue.  A waiter that waits for several at once waits
for all of them, so a cycle through any one is a deadlock.
"""

from collections import defaultdict

from harness.locks.waitgraph import Edge
from harness.watch.records import SeatFacts, Snapshot, WaitFact

WAITING = ("mutex", "read", "write", "upgrade", "sleep", "join", "parked")


def _holders(snapshot: Snapshot) -> dict[int, list[tuple[int, str]]]:
    """Lock offset -> [(seat, mode)] from the held stacks."""
    found: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for seat in snapshot.seats:
        for held in seat.held:
            found[held.offset].append((seat.number, held.mode))
    return found


def _claimers(snapshot: Snapshot) -> dict[int, list[int]]:
    """Address of a word -> seats that will change it."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for seat in snapshot.seats:
        for claim in seat.claims:
            found[claim.address].append(seat.number)
    for address, server in snapshot.providers:
        found[address].append(server)
    return found


def _rw(seat: SeatFacts, snapshot: Snapshot, holders: list[tuple[int, str]]) -> list[Edge]:
    assert seat.wait is not None
    offset, kind = seat.wait.offset, seat.wait.kind
    others = [(number, mode) for number, mode in holders if number != seat.number]
    if kind == "read":
        hard = [number for number, mode in others if mode == "write"]
        if not hard:  # it waits because a writer is ahead of it
            ahead = [
                other.number
                for other in snapshot.seats
                if other.wait and other.wait.offset == offset and other.wait.kind in ("write", "upgrade")
            ]
            return [
                Edge(seat.number, number, False, seat.wait.lock) for number in ahead if number != seat.number
            ]
    else:
        hard = [number for number, _ in others]
    return [Edge(seat.number, number, True, seat.wait.lock) for number in hard]


def _may_keep_its_own(wait: WaitFact) -> bool:
    """A count awaited at some value above zero leaves room for the sleeper's own share."""
    return wait.wanted > 0 and wait.op in ("==", "<=", "<")


def edges(snapshot: Snapshot) -> list[Edge]:
    """Every edge of the moment."""
    holders, claimers = _holders(snapshot), _claimers(snapshot)
    found: list[Edge] = []
    for seat in snapshot.seats:
        wait = seat.wait
        if wait is None or seat.torn or seat.dead:
            continue
        if wait.kind == "mutex":
            owner = snapshot.owners.get(wait.offset, 0)
            if owner:
                found.append(Edge(seat.number, owner, True, wait.lock))
        elif wait.kind in ("read", "write", "upgrade"):
            found += _rw(seat, snapshot, holders.get(wait.offset, []))
        elif wait.kind == "sleep" and wait.holds is False:
            found += [
                Edge(seat.number, other, True, wait.lock)
                for other in claimers.get(wait.address, [])
                if other != seat.number or not _may_keep_its_own(wait)
            ]
        elif wait.kind == "join":
            found.append(Edge(seat.number, wait.offset, True, wait.lock))
    return found
