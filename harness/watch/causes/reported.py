"""The class of a cause when a thread was stopped at its own mistake.

As in ``causes``: only what the snapshot and the facts of the report prove.  Those are of the locks, the
pools and the contracts of this package; the words of the system under test say nothing here.
"""

import signal

from harness.shm.names import site_text
from harness.watch.records import End, SeatFacts, Snapshot, Suspicion

FEW_THREADS = 3

MISTAKES = {  # of a report, and the class of the mistake
    "needs": "{step} works on what {lock} guards, and its caller has not locked it{others}",
    "has_already": "{step} takes {lock} itself, and its caller has it already",
    "has_mutex": (
        "{step} may wait or takes locks of its own, and is called with {lock} held since {site}{others}"
    ),
    "lost": "{step} came back without {lock}, and its caller goes on as if it had it{others}",
    "kept": "on one of its ways out {step} does not give {lock} back, and no other thread will{others}",
    "took": (
        "{step} takes a lock of class {wanted}, and its callers do not know: "
        "they may hold what comes after it"
    ),
    "slept": "{step} waits, and its callers do not know: they may hold what its waker needs",
    "not_held": "a lock is given back by a thread without it{others}",
    "left": "on one of its ways out an operation does not give {lock} back{others}",
    "no_claim": "what a thread owned is given up twice, or by a thread that did not own it",
    "empty_link": "a link is followed that is empty: its owner cleared it, or never set it",
    "fill_link": "a record is still used although it was freed: its links are the fill of freed records",
    "stale_link": (
        "a link outlived its record: {record} was freed while another thread still went by the link"
    ),
    "freed_twice": "two threads, or one twice, give up the last hold on a record",
    "unguarded": (
        "a word is used without the lock that guards it: another thread's change is lost or half seen"
    ),
}
SLEPT = "a thread goes to sleep with {lock}: its waker, or who wants the lock, is kept out{others}"
SIGNALS: dict[int, str] = {  # how a process died, and whose doing that is
    signal.SIGSEGV: "native code touched memory that is not there, or no more",
    signal.SIGBUS: "native code touched memory that is not there, or no more",
    signal.SIGABRT: "native code gave up by itself; what it printed says why",
    signal.SIGKILL: (
        "a process outside killed it; the kernel does when memory runs out (try: dmesg | grep -i oom)"
    ),
}


def cause_of_crash(end: End | None) -> str:
    """Whose doing the end of a process was, as far as its signal tells."""
    if end is None or end.program:
        return ""
    if not end.signal:
        return "Cause: it left without telling the supervisor: os._exit, or a library that calls it"
    return f"Cause: {SIGNALS.get(end.signal, 'another process sent it a signal that it does not expect')}"


def cause_of_order(suspicion: Suspicion) -> str:
    """The rule that was broken; of a notice, why it is none yet."""
    report = suspicion.report
    if report is None:
        return ""
    first, second = report.wanted, report.held
    rule = (
        f"{first} comes before {second}"
        if first != second
        else f"of two, {report.wanted_name} does not follow {report.held_name}"
    )
    if suspicion.notice:
        return f"Cause: one thread alone takes {first} and {second} in both orders, and cannot meet itself"
    if report.details.mistake == "read_both_ways":
        return f"Cause: {second} and {first} are read in both orders, and a queued writer keeps readers out"
    meets = "another thread that takes them in the other order at the same time would deadlock with it"
    return f"Cause: two locks in the wrong order ({rule}); {meets}"


def cause_of_report(snapshot: Snapshot, suspicion: Suspicion, seat: SeatFacts) -> str:
    """What kind of mistake a report tells; nothing for the words of the system under test."""
    report = suspicion.report
    if report is None:
        return ""
    details = report.details
    text = SLEPT if report.kind == "sleep_holding" else MISTAKES.get(details.mistake)
    if text is None:
        return ""
    lock = report.held_name or report.wanted_name or "a lock"
    return "Cause: " + text.format(
        lock=lock,
        step=details.step,
        wanted=report.wanted,
        record="".join(f"{one.table}[{one.slot}]" for one in details.about[:1]),
        site=site_text(report.held_site),
        others=_others(snapshot, seat, report.held_lock or report.wanted_lock),
    )


def _others(snapshot: Snapshot, seat: SeatFacts, lock: int) -> str:
    """Who else has or wants the lock at this moment; 0: it is about none."""
    rest = [other for other in snapshot.seats if lock and other.number != seat.number and not other.dead]
    holders = [other.role for other in rest if any(held.offset == lock for held in other.held)]
    waiters = [other.role for other in rest if other.wait and other.wait.offset == lock]
    told = f"; {named(holders)} holds it now" if holders else ""
    return told + (f"; {named(waiters)} waits for it already" if waiters else "")


def named(roles: list[str]) -> str:
    """A few names; of many the first."""
    more = len(roles) - FEW_THREADS
    return " and ".join(roles[:FEW_THREADS]) + (f" and {more} more" if more > 0 else "")
