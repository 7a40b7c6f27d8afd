"""The class of a cause, as far as the facts of the moment prove it.

Every sentence here is derived from a snapshot.  What the snapshot does not show is not said:
an empty cause is better than a guess.  Pure, like ``detectors.judge``.
"""

from harness.watch.causes.reported import cause_of_crash, cause_of_order, cause_of_report
from harness.watch.causes.stuck import cause_of_livelock, cause_of_standstill
from harness.watch.records import SeatFacts, Snapshot, Suspicion, WaitFact
from harness.watch.wait_edges import edges


def forgotten(seat: SeatFacts, wait: WaitFact) -> str:
    """The sentence about a sleeper whose predicate is true: since when, by which thread, which wakeups."""
    since = f"since {wait.changed.age_s:.3f} s" if wait.changed else "now"
    value = wait.value_text or wait.value
    return (
        f"{seat.name} sleeps in `{wait.wmesg}` on {wait.lock} until {wait.predicate}; "
        f"it is {value} {since} and no thread woke it: {_changed(wait)}; {_wakeups(wait)}"
    )


def _changed(wait: WaitFact) -> str:
    change = wait.changed
    if change is None:
        return "which thread changed it last is not known (no call of `changed`)"
    inside = f", in {change.site}" if change.outer and change.outer != change.site else ""
    return f"last changed by {change.who} at {change.outer or change.site}{inside}"


def _wakeups(wait: WaitFact) -> str:
    """What was posted to the channel, measured by the time when the sleep began."""
    if not wait.last_waker:
        return f"no thread has ever posted a wakeup to {wait.lock}"
    before = wait.last_wake_s - wait.waited_s
    if before >= 0:
        return (
            f"the last wakeup of {wait.lock}, at {wait.last_wake_site}, came {span(before)} before it slept"
        )
    return (
        f"a wakeup of {wait.lock}, at {wait.last_wake_site}, came {span(-before)} after it slept "
        "and woke another sleeper"
    )


def span(seconds: float) -> str:
    """A time that may be very short."""
    return f"{seconds:.3f} s" if seconds >= 0.001 else f"{seconds * 1e6:.0f} us"


def cause_of(snapshot: Snapshot, suspicion: Suspicion) -> str:
    """A sentence without its full stop, or nothing."""
    by_number = {seat.number: seat for seat in snapshot.seats}
    members = [by_number[number] for number in suspicion.seats if number in by_number]
    if not members:
        return ""
    if suspicion.verdict == "lost_wakeup":
        return _lost(members[0])
    if suspicion.verdict in ("deadlock", "self_deadlock") and suspicion.report is None:
        return _cycle(snapshot, members)
    if suspicion.verdict == "order_violation":
        return cause_of_order(suspicion)
    if suspicion.verdict == "livelock":
        return cause_of_livelock(snapshot, members[0])
    if suspicion.verdict in ("stall", "frozen"):
        return cause_of_standstill(snapshot, suspicion)
    if suspicion.verdict == "crash":
        return cause_of_crash(suspicion.end)
    if suspicion.verdict in REPORTED:
        return REPORTED[suspicion.verdict]
    return cause_of_report(snapshot, suspicion, members[0])


REPORTED = {
    "self_deadlock": "Cause: a thread takes a lock that it already holds",
    "orphaned_lock": "Cause: a thread ended while it held a lock",
}


def _lost(seat: SeatFacts) -> str:
    wait = seat.wait
    if wait is None:
        return ""
    if wait.holds is None:
        return "Cause: every thread that could wake it has gone or waits itself"
    if not wait.holds:
        return "Cause: those that could make it true have gone or wait themselves"
    if wait.last_waker and wait.last_wake_s < wait.waited_s:
        return "Cause: one sleeper was woken where several slept"
    if wait.changed is None:
        return "Cause: the condition came true without a wakeup of its sleepers"
    if wait.changed.age_s > wait.waited_s:
        return "Cause: it went to sleep although the condition was already true"
    return "Cause: the thread that made the condition true did not wake its sleepers"


def _cycle(snapshot: Snapshot, members: list[SeatFacts]) -> str:
    """What kind of links the circle is made of."""
    kinds = [_link(snapshot, seat, members[(i + 1) % len(members)]) for i, seat in enumerate(members)]
    if len(members) == 1:
        return {
            "lock": "Cause: a thread waits for a lock that it already holds",
            "word": "Cause: a thread waits for a word that only it would change",
        }.get(kinds[0], "")
    waits = [seat.wait for seat in members if seat.wait]
    if all(wait.kind == "upgrade" for wait in waits) and len({wait.offset for wait in waits}) == 1:
        return "Cause: two readers of one lock both wait to become its writer"
    if "queue" in kinds:
        return "Cause: a reader waits behind a queued writer while it holds what the writer needs"
    if all(kind == "lock" for kind in kinds):
        return f"Cause: {_crosswise(members, waits)}"
    if all(kind == "word" for kind in kinds):
        return "Cause: each waits for a word that the next one is to change"
    if set(kinds) <= {"lock", "word", "service"}:
        return f"Cause: {_holding_asleep(members, kinds)}"
    return ""


def _crosswise(members: list[SeatFacts], waits: list[WaitFact]) -> str:
    classes = {wait.lock_class for wait in waits}
    number = {2: "two", 3: "three"}.get(len(members), str(len(members)))
    of = f" of one class ({classes.pop()})" if len(classes) == 1 else ""
    order = "opposite orders" if len(members) == 2 else "orders that form a circle"
    return f"{number} locks{of} are taken in {order}"


def _holding_asleep(members: list[SeatFacts], kinds: list[str]) -> str:
    """One waits for what another is to do, and keeps the lock that the other needs for it."""
    number = len(members)
    for i, kind in enumerate(kinds):
        seat, before = members[i], members[i - 1]
        if kind != "lock" and kinds[i - 1] == "lock" and before.wait:
            word = seat.wait.predicate if seat.wait and seat.wait.predicate else "something"
            return (
                f"{seat.role} sleeps until {members[(i + 1) % number].role} has made {word} true, and keeps "
                f"{before.wait.lock}, which {before.role} needs first"
            )
    return "each waits for what another one is to do"


def _link(snapshot: Snapshot, waiter: SeatFacts, holder: SeatFacts) -> str:
    """lock: it holds it; word: it has claimed the word; service: its role serves it; queue: it is ahead."""
    wait = waiter.wait
    if wait is None:
        return ""
    if wait.kind in ("mutex", "read", "write", "upgrade"):
        held = any(
            edge.waiter == waiter.number and edge.holder == holder.number and edge.hard
            for edge in edges(snapshot)
        )
        return "lock" if held else "queue"
    if wait.kind != "sleep":
        return wait.kind
    if any(claim.address == wait.address for claim in holder.claims):
        return "word"
    return "service" if (wait.address, holder.number) in snapshot.providers else ""
