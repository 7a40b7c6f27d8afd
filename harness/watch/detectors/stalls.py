"""Waits that last too long: one lock or word for ``stall_s``, rounds of timed waits.

None of them is proved, so all of them are measured in watched time, and a wait whose holder works
on is only reported.
"""

from harness.locks.waitgraph import Edge, find_cycles
from harness.watch import kernel
from harness.watch.detectors.history import History, Limits
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.wait_edges import LOCKS

MANY_ROUNDS = 5


def stalls(
    now: Snapshot, graph: list[Edge], history: History, limits: Limits, explained: set[int]
) -> list[Suspicion]:
    """Per wait, whatever others do.  ``explained``: seats of which another verdict says more."""
    seats = {seat.number: seat for seat in now.seats}
    ahead: dict[int, list[int]] = {}
    for edge in graph:
        ahead.setdefault(edge.waiter, []).append(edge.holder)
    explained = _behind(explained, ahead)
    late = {}  # seat -> what it has waited for too long
    for seat in now.seats:
        wanted = _wanted(seat, now, history, limits, ahead)
        if wanted is not None and seat.number not in explained:
            late[seat.number] = wanted
    groups: dict[tuple[str, int], list[int]] = {}
    for number, (key, holder) in late.items():
        if holder not in late:  # else its own wait is the one to tell
            groups.setdefault((key, holder), []).append(number)
    return [
        _stall(key, seats.get(holder), [seats[n] for n in waiters], now, history, limits)
        for (key, holder), late_ones in groups.items()
        for waiters in [late_ones + _just_come(key, holder, late_ones, seats, ahead)]
    ]


def _just_come(
    key: str, holder: int, late: list[int], seats: dict[int, SeatFacts], ahead: dict[int, list[int]]
) -> list[int]:
    """Threads that wait for the same lock and the same holder, and not too long so far."""
    found = []
    for number, holders in ahead.items():
        wait = seats[number].wait
        same = wait is not None and wait.kind in LOCKS and f"lock:{wait.offset}" == key
        if same and holder in holders and number not in late:
            found.append(number)
    return found


def _behind(seats: set[int], ahead: dict[int, list[int]]) -> set[int]:
    found, grown = set(seats), -1
    while grown != len(found):
        grown = len(found)
        found |= {waiter for waiter, holders in ahead.items() if found & set(holders)}
    return found


def _wanted(
    seat: SeatFacts, now: Snapshot, history: History, limits: Limits, ahead: dict[int, list[int]]
) -> tuple[str, int] | None:
    """(lock or word, seat of its holder or 0) when this thread has waited for it too long."""
    if seat.dead or seat.torn or seat.state in kernel.STOPPED:
        return None
    wait, polled = seat.wait, seat.polled
    if polled is not None and (wait is None or wait.offset == polled.offset or wait.kind not in LOCKS):
        return _polled(seat, now, history, limits)
    if wait is None:
        return None
    key = f"wait:{seat.id}:{seat.wait_seq}"
    if wait.kind in LOCKS:
        holders = ahead.get(seat.number)
        if not holders:
            return None  # it may go on
        if history.hold(key, now.taken_ns).told < limits.stall_s:
            return None
        return f"lock:{wait.offset}", holders[0]
    if wait.kind == "sleep" and wait.unwoken and not wait.timed and wait.holds is not True:
        if history.hold(key, now.taken_ns).told < limits.stall_s:
            return None
        return f"word:{wait.offset}:{wait.address}", (ahead.get(seat.number) or [0])[0]
    return None


def _polled(seat: SeatFacts, now: Snapshot, history: History, limits: Limits) -> tuple[str, int] | None:
    """It tries one lock again and again, which one living thread has had all the time."""
    polled = seat.polled
    assert polled is not None
    fact = now.locks.get(polled.offset)
    sits = {other.id: other.number for other in now.seats if not other.dead}
    holders = [
        one for one in ([fact.holder, *fact.readers] if fact else []) if one in sits and one != seat.id
    ]
    key = f"poll:{seat.id}:{polled.offset}"
    if fact is None or not holders:
        history.forget(key)
        return None
    seen = history.hold(key, now.taken_ns, (holders[0], fact.turn))
    if seen.facts is None or seen.facts[0] != polled.polls:
        seen.facts = (polled.polls, history.clock)
    waits = seat.wait is not None and seat.wait.offset == polled.offset
    if not waits and history.clock - seen.facts[1] > limits.stall_s / 2:
        return None  # it has given up and does something else
    return (f"lock:{polled.offset}", sits[holders[0]]) if seen.told >= limits.stall_s else None


def _stall(
    key: str,
    holder: SeatFacts | None,
    waiters: list[SeatFacts],
    now: Snapshot,
    history: History,
    limits: Limits,
) -> Suspicion:
    """One finding per lock and holder, however many wait."""
    longest = max(waiters, key=_waited)
    works = holder is not None and _completes(holder, history, limits)
    quiet = holder is not None and holder.state in kernel.STOPPED  # that is `frozen`
    return Suspicion(
        verdict="stall",
        key=f"stall:{key}:{holder.id if holder else longest.id}",
        seats=[*([holder.number] if holder else []), *(seat.number for seat in waiters)],
        holder=holder.number if holder else 0,
        why=_held_too_long(holder, waiters, longest)
        if holder
        else _asleep_too_long(longest, waiters, now, history),
        certain=not works and not quiet,
        notice=not quiet,
        since_ns=now.taken_ns - int(_waited(longest) * 1e9),
    )


def _waited(seat: SeatFacts) -> float:
    if seat.polled is not None and (seat.wait is None or seat.wait.offset == seat.polled.offset):
        return seat.polled.for_s
    return seat.wait.waited_s if seat.wait else 0.0


def _completes(holder: SeatFacts, history: History, limits: Limits) -> bool:
    """Has it ended a step or taken a lock within the last half of the limit?"""
    seen = history.seen.get(f"works:{holder.id}")
    return seen is not None and history.clock - seen.facts[1] < limits.stall_s / 2


def watch_work(now: Snapshot, history: History) -> None:
    """Note at every look how far those are that others wait for."""
    for seat in now.seats:
        if not seat.dead and (seat.held or seat.claims):
            seen = history.hold(f"works:{seat.id}", now.taken_ns)
            done = (seat.steps, seat.progress)
            if seen.facts is None:
                seen.facts = (done, float("-inf"))
            elif seen.facts[0] != done:
                seen.facts = (done, history.clock)


def doing(seat: SeatFacts) -> str:
    """What a thread does, in the kernel's words where it waits for none of ours."""
    inside = f" in {seat.operation}" if seat.operation else ""
    wait = seat.wait
    if seat.state in kernel.STOPPED:
        by = f"traced by pid {seat.tracer}" if seat.tracer else "stopped"
        return f"is {by}{inside}"
    if wait is not None and wait.kind == "io":
        return f"is in I/O (`{wait.wmesg}`){inside} for {wait.waited_s:.3f} s"
    if wait is not None:
        return f"waits for {wait.lock}{inside} for {wait.waited_s:.3f} s, {wait.site}"
    where = f" ({seat.call})" if seat.call else ""
    busy = {"R": "runs", "D": "is in uninterruptible sleep", "S": "sleeps outside of our locks"}
    since = f" for {seat.operation_for_s:.3f} s" if seat.operation else ""
    return f"{busy.get(seat.state, 'runs')}{where}{inside}{since}, state {seat.state}"


def _held_too_long(holder: SeatFacts, waiters: list[SeatFacts], longest: SeatFacts) -> str:
    polls = longest.polled is not None and (longest.wait is None or longest.wait.timed)
    wanted = longest.polled if polls else longest.wait
    what = wanted.lock if wanted else "?"
    row = next((held for held in holder.held if wanted and held.offset == wanted.offset), None)
    since = f" since {row.held_for_s:.3f} s, {row.site}" if row else ""
    how = f"polls {what}" if polls else f"waits for {what}"
    if polls and longest.polled:
        how += f" ({longest.polled.polls} times)"
    others = f"; {len(waiters)} wait for it" if len(waiters) > 1 else ""
    has = "held by" if row else "which is up to"
    return (
        f"{longest.name} {how} for {_waited(longest):.3f} s, {has} {holder.name}{since}{others}; "
        f"{holder.role} {doing(holder)}"
    )


def _asleep_too_long(longest: SeatFacts, waiters: list[SeatFacts], now: Snapshot, history: History) -> str:
    wait = longest.wait
    assert wait is not None
    until = f" until {wait.predicate} (now {wait.value_text or wait.value})" if wait.predicate else ""
    others = f", {len(waiters)} with it" if len(waiters) > 1 else ""
    history.wants_census = True
    unseen = f"; without a seat: {', '.join(now.outsiders[:3])}" if now.outsiders else ""
    return (
        f"{longest.name} sleeps in `{wait.wmesg}` on {wait.lock}{until} for {wait.waited_s:.3f} s{others}, "
        f"{wait.site}, and nothing says which thread is to wake it{unseen}"
    )


def rounds(now: Snapshot, graph: list[Edge], history: History, limits: Limits) -> list[Suspicion]:
    """Waits with a limit that form the same circle again and again: both sides retry."""
    seats = {seat.number: seat for seat in now.seats}
    every = [edge for edge in graph if edge.holder in seats] + [
        Edge(seat.number, other, True, seat.polled.lock)
        for seat in now.seats
        if seat.polled and seat.wait is None and not seat.dead
        for other in [now.owners.get(seat.polled.offset, 0)]
        if other in seats and other != seat.number and not seats[other].dead
    ]
    found = []
    for cycle in find_cycles([edge for edge in every if edge.hard]):
        members = [seats[node] for node in cycle.nodes]
        if any(one.dead for one in members) or all(one.wait and not one.wait.timed for one in members):
            continue
        what = sorted(edge.what for edge in cycle.edges)
        ids = sorted(one.id for one in members)
        turns = _turns(members, now)
        polls = any(one.wait is None for one in members)
        if polls and not (all(one.operation for one in members) or all(turn[-1] for turn in turns)):
            continue  # of a read/write lock nothing tells whether it was taken anew
        # A thread that polls goes round by itself.  While all others wait for it without limit it fails as
        # long as it goes on; a wait with a limit may end and let it through.
        timed = any(one.wait is not None and one.wait.timed for one in members)
        limit = limits.livelock_s if polls and not timed else limits.stall_s
        seen = history.hold(f"rounds:{ids}:{what}", now.taken_ns, turns, limit / 4)
        if seen.facts is None:
            seen.facts = set()
        if len(seen.facts) < MANY_ROUNDS:
            seen.facts.add(tuple((one.wait_seq, one.polled.polls if one.polled else 0) for one in members))
        if seen.told < limit or len(seen.facts) < MANY_ROUNDS:
            continue
        names = " and ".join(one.role for one in members)
        since = (now.taken_ns - seen.first_ns) / 1e9
        found.append(
            Suspicion(
                verdict="livelock",
                key=f"rounds:{ids}:{seen.first_ns}",
                seats=[one.number for one in members],
                why=f"both sides retry; {names} wait for each other's {' and '.join(what)} with a limit, "
                f"again and again for {since:.3f} s, and none gets through",
                certain=True,
                since_ns=seen.first_ns,
            )
        )
    return found


def _turns(members: list[SeatFacts], now: Snapshot) -> tuple[tuple[int, ...], ...]:
    """What moves when one of them gets through: the ends of steps, or where no step is declared the locks."""
    if all(one.operation for one in members):
        return tuple((one.steps,) for one in members)
    locks = {held.offset for one in members for held in one.held}
    return tuple((at, now.locks[at].holder, now.locks[at].turn) for at in sorted(locks) if at in now.locks)
