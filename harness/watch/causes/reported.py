"""The class of a cause when a thread was stopped at its own mistake.

As in ``causes``: only what the snapshot and the report's own words prove.  A report's words are those
of the locks, the pools and the contracts of this package; words of the system under test say nothing here.
"""

import re

from harness.watch.records import SeatFacts, Snapshot, Suspicion

LOCK = r"(?P<lock>[\w ]+\[\d+\])"
STEP = r"(?P<step>[\w.]+): "
FEW_THREADS = 3

CONTRACTS = (  # what the report says, and the class of the mistake
    (
        rf"sleeps while it holds {LOCK}",
        "a thread goes to sleep with {lock}: its waker, or who wants the lock, is kept out{others}",
    ),
    (
        rf"{STEP}at entry no mutex may be held",
        "{step} may wait or takes locks of its own, and is called with {lock} held since {site}{others}",
    ),
    (
        rf"{STEP}at entry it needs(?: \([a-z ]+\))? {LOCK}",
        "{step} works on what {lock} guards, and its caller has not locked it{others}",
    ),
    (
        rf"{STEP}at entry it must not hold {LOCK}",
        "{step} takes {lock} itself, and its caller has it already",
    ),
    (
        rf"{STEP}at exit it must hold(?: \([a-z ]+\))? {LOCK}",
        "{step} came back without {lock}, and its caller goes on as if it had it{others}",
    ),
    (
        rf"{STEP}at exit it must no longer hold {LOCK}",
        "on one of its ways out {step} does not give {lock} back, and no other thread will{others}",
    ),
    (
        rf"{STEP}it took a lock that its contract does not name: (?P<name>[\w ]+)",
        "{step} takes a lock of class {name}, and its callers do not know: they may hold what comes after it",
    ),
    (
        rf"{STEP}it slept, and its contract says never",
        "{step} waits, and its callers do not know: they may hold what its waker needs",
    ),
    (r"releases a lock that it does not hold", "a lock is given back by a thread without it{others}"),
    (
        rf"this thread still holds {LOCK}",
        "on one of its ways out an operation does not give {lock} back{others}",
    ),
    (
        r"this thread has no claim on the word",
        "what a thread owned is given up twice, or by a thread that did not own it",
    ),
)  # fmt: skip

RECORDS = (
    (
        r"reference 0 names no record",
        "a link is followed that is empty: its owner cleared it, or never set it",
    ),
    (
        r"reference \d+, the fill of freed records, names no record",
        "a record is still used although it was freed: its links are the fill of freed records",
    ),
    (
        r"stale link to (?P<lock>[\w ]+\[\d+\])",
        "a link outlived its record: {lock} was freed while another thread still went by the link",
    ),
    (r"is freed twice", "two threads, or one twice, give up the last hold on a record"),
    (
        r"is (?:read|written) without its guard",
        "a word is used without the lock that guards it: another thread's change is lost or half seen",
    ),
)  # fmt: skip

ENDS = (  # how a process died, and whose doing that is
    (r"SIG(?:SEGV|BUS)", "native code touched memory that is not there, or no more"),
    (r"SIGABRT", "native code gave up by itself; what it printed says why"),
    (
        r"SIGKILL",
        "a process outside killed it; the kernel does when memory runs out (try: dmesg | grep -i oom)",
    ),
    (r"SIG[A-Z]+", "another process sent it a signal that it does not expect"),
    (r"exit code", "it left without telling the supervisor: os._exit, or a library that calls it"),
)


def cause_of_crash(suspicion: Suspicion) -> str:
    """Whose doing the end of a process was, as far as its signal tells."""
    how = suspicion.why.rpartition(" died: ")[2]
    return next((f"Cause: {text}" for pattern, text in ENDS if re.search(pattern, how)), "")


def cause_of_order(suspicion: Suspicion) -> str:
    """The rule that was broken; of a notice, why it is none yet."""
    held, wanted = suspicion.locks
    first, second = wanted.partition("[")[0], held.partition("[")[0]
    rule = f"{first} comes before {second}" if first != second else f"of two, {wanted} does not follow {held}"
    if suspicion.notice:
        return f"Cause: one thread alone takes {first} and {second} in both orders, and cannot meet itself"
    if "read in both orders" in suspicion.why:
        return f"Cause: {second} and {first} are read in both orders, and a queued writer keeps readers out"
    meets = "another thread that takes them in the other order at the same time would deadlock with it"
    return f"Cause: two locks in the wrong order ({rule}); {meets}"


def cause_of_report(snapshot: Snapshot, suspicion: Suspicion, seat: SeatFacts) -> str:
    """What kind of mistake a report tells; nothing for the words of the system under test."""
    for pattern, text in (*CONTRACTS, *RECORDS):
        match = re.search(pattern, suspicion.why)
        if match is not None:
            known = match.groupdict()
            lock = known.get("lock") or suspicion.locks[0] or suspicion.locks[1] or "a lock"
            return "Cause: " + text.format(
                lock=lock,
                step=known.get("step", ""),
                name=known.get("name", ""),
                site=suspicion.since,
                others=_others(snapshot, seat, lock),
            )
    return ""


def _others(snapshot: Snapshot, seat: SeatFacts, lock: str) -> str:
    """Who else has or wants the lock at this moment."""
    rest = [other for other in snapshot.seats if other.number != seat.number and not other.dead]
    holders = [other.role for other in rest if any(held.lock == lock for held in other.held)]
    waiters = [other.role for other in rest if other.wait and other.wait.lock == lock]
    told = f"; {named(holders)} holds it now" if holders else ""
    return told + (f"; {named(waiters)} waits for it already" if waiters else "")


def named(roles: list[str]) -> str:
    """A few names; of many the first."""
    more = len(roles) - FEW_THREADS
    return " and ".join(roles[:FEW_THREADS]) + (f" and {more} more" if more > 0 else "")
