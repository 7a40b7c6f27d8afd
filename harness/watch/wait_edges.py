"""Who waits for whom, built from one snapshot.

*hard*: the other holds what is wanted (a lock, a claim on the word, the end of a thread).
*soft*: the other is only ahead in a queue.  A waiter that waits for several at once waits
for all of them, so a cycle through any one is a deadlock.
"""

from collections import defaultdict

from harness.locks.waitgraph import Edge
from harness.shm.names import role_of
from harness.watch.records import LockFact, SeatFacts, Snapshot, WaitFact

LOCKS = ("mutex", "read", "write", "upgrade")
WAITING = ("mutex", "read", "write", "upgrade", "sleep", "join", "parked")


def _claimers(snapshot: Snapshot) -> dict[int, list[int]]:
    """Address of a word -> seats that will change it."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for seat in snapshot.seats:
        for claim in seat.claims:
            found[claim.address].append(seat.number)
    return found


def _services(snapshot: Snapshot) -> dict[int, list[list[int]]]:
    """Address of a word -> per role that serves it, the seats of which any one is enough."""
    roles = {seat.number: role_of(seat.role) for seat in snapshot.seats}
    found: defaultdict[int, dict[str, set[int]]] = defaultdict(dict)
    for address, server in snapshot.providers:
        found[address].setdefault(roles.get(server, ""), set()).add(server)
    return {address: [sorted(seats) for seats in groups.values()] for address, groups in found.items()}


def _lock_edges(seat: SeatFacts, fact: LockFact, sits: dict[int, int]) -> list[Edge]:
    """To the thread that has the lock, by the word and the cells; a soft one to the thread that is ahead.

    An id that no seat of the snapshot has is that of a dead thread whose seat was taken again:
    the lock is free for the next one, and there is no edge.
    """
    assert seat.wait is not None
    kind, what = seat.wait.kind, seat.wait.lock
    hard = [fact.holder] if kind in ("mutex", "read") else [fact.holder, *fact.readers]
    found = [Edge(seat.number, sits[one], True, what) for one in dict.fromkeys(hard) if one in sits]
    found = [edge for edge in found if edge.holder != seat.number]
    ahead = sits.get(fact.claimer, 0)
    if ahead and ahead != seat.number and all(edge.holder != ahead for edge in found):
        found.append(Edge(seat.number, ahead, False, what))
    return found


def _may_keep_its_own(wait: WaitFact) -> bool:
    """A count awaited at some value above zero leaves room for the sleeper's own share."""
    return wait.wanted > 0 and wait.op in ("==", "<=", "<")


def edges(snapshot: Snapshot) -> list[Edge]:
    """Every edge of the moment.

    Of several servers of one role one is enough, so there is no edge to them before all of them are
    stuck: a circle through one would be no deadlock while another can still serve.
    """
    found = _certain(snapshot)
    offers = _offers(snapshot)
    if not offers:
        return found
    free = _free(snapshot, found, offers)
    for seat, word, servers in offers:
        if not free & set(servers):
            found += [Edge(seat, server, True, word) for server in servers]
    return found


def _offers(snapshot: Snapshot) -> list[tuple[int, str, list[int]]]:
    """(sleeper, its channel, seats of one role that may serve it) of all that wait for a service."""
    services = _services(snapshot)
    return [
        (seat.number, seat.wait.lock, servers)
        for seat in snapshot.seats
        if seat.wait
        and seat.wait.kind == "sleep"
        and seat.wait.holds is False
        and not seat.torn
        and not seat.dead
        for servers in services.get(seat.wait.address, [])
    ]


def _free(snapshot: Snapshot, found: list[Edge], offers: list[tuple[int, str, list[int]]]) -> set[int]:
    """Seats that go on in the end if every one that can does; one that waits for no known thread can."""
    needs: defaultdict[int, list[set[int]]] = defaultdict(list)
    for edge in found:
        needs[edge.waiter].append({edge.holder})
    for seat, _, servers in offers:
        needs[seat].append(set(servers))
    alive = [seat for seat in snapshot.seats if not seat.dead]
    free = {seat.number for seat in alive if seat.wait is None or seat.wait.timed or not needs[seat.number]}
    grown = -1
    while grown != len(free):
        grown = len(free)
        free |= {seat.number for seat in alive if all(free & group for group in needs[seat.number])}
    return free


def _certain(snapshot: Snapshot) -> list[Edge]:
    """Edges to locks' holders, to claims and to threads that are joined."""
    claimers = _claimers(snapshot)
    sits = {seat.id: seat.number for seat in snapshot.seats if seat.id}
    going = {seat.number for seat in snapshot.seats if not seat.dead}
    found: list[Edge] = []
    for seat in snapshot.seats:
        wait = seat.wait
        if wait is None or seat.torn or seat.dead:
            continue
        if wait.kind in LOCKS:
            if wait.offset in snapshot.locks:
                found += _lock_edges(seat, snapshot.locks[wait.offset], sits)
        elif wait.kind == "sleep" and wait.holds is False:
            found += [
                Edge(seat.number, other, True, wait.lock)
                for other in claimers.get(wait.address, [])
                if other != seat.number or not _may_keep_its_own(wait)
            ]
        elif wait.kind == "join" and wait.offset in going:  # the end of a dead one has come
            found.append(Edge(seat.number, wait.offset, True, wait.lock))
    return found
