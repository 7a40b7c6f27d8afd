"""Every verdict once: when it is certain, when it is only reported, after how long, what to do.

The limits are fields of ``Limits``; docs/verdicts.md is made from this table, and a test compares the
verdicts with those that the rules and the reports can give.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One verdict, for people."""

    verdict: str
    certain: str
    reported: str
    after: str  # with {limits} of history.Limits
    do: str


CATALOG = (
    Entry(
        "deadlock",
        "a circle of holders in which no wait has a limit and no member is dead, in two looks; "
        "through a place in a queue, in ten",
        "",
        "two looks",
        "take the locks in one order; the dump names both lines",
    ),
    Entry(
        "self_deadlock",
        "a thread waits for what it holds itself",
        "",
        "at the call",
        "do not take it twice, or hand the held lock down",
    ),
    Entry(
        "orphaned_lock",
        "the kernel marked the holder dead, and who was told let the lock go unrepaired, or it is in doubt "
        "for {repair_s:g} s while a thread has it or waits for it; once per death",
        "at once when a thread waits for it or was told, and no more than that when it is repaired; in "
        "doubt, or wanted by no thread, at the end of the run: a finding",
        "at once when it is let go; {repair_s:g} s",
        "repair the data and call recover(); the sentence says who died, how, and where it had taken it",
    ),
    Entry(
        "lost_wakeup",
        "the condition is true, its guard was released since, and the thread that changed the word last "
        "ended, rests elsewhere, or "
        "completed the step of the change; or every thread that has the arena, with a seat or "
        "without, waits without limit",
        "the thread that changed it is not known or still on its way: after {waker_s:g} s, a finding at "
        "{stall_s:g} s",
        "two looks; {none_left_s:g} s when no thread is left",
        "wake after the change, under the guard; test again before you sleep",
    ),
    Entry(
        "frozen",
        "",
        "a holder or awaited thread is stopped or in uninterruptible sleep: after {frozen_s:g} "
        "s; a finding at {stall_s:g} s "
        "unless a debugger has it",
        "{frozen_s:g} s",
        "continue it (kill -CONT), or detach the debugger",
    ),
    Entry(
        "stall",
        "",
        "one wait for one lock or word, polled tries included, has lasted {stall_s:g} s: a "
        "finding; when the holder completes "
        "steps or takes locks meanwhile it is only reported",
        "{stall_s:g} s",
        "hold it for less long; declare sleepers that may wait for ever idle=True",
    ),
    Entry(
        "livelock",
        "",
        "the restarts and failures of one step go on growing for {livelock_s:g} s (tries at one lock, and "
        "those that end with a lock, are waits), or one of a circle tries its lock again and again for as "
        "long, or timed waits form the same circle for {stall_s:g} s: a finding",
        "{livelock_s:g} s",
        "back off by different times, or take the locks in one order",
    ),
    Entry(
        "order_violation",
        "two locks were taken in both orders, by waits without limit, by two threads, and no lock was held "
        "around both; between locks of one class when the class nests",
        "one thread only has taken both orders: a notice",
        "at the call",
        "choose one order; both lines are named",
    ),
    Entry("contract_violation", "at the place", "", "at the call", "see the sentence"),
    Entry("unguarded_access", "at the place", "", "at the access", "take the lock that guards the field"),
    Entry("invariant_violation", "at the place", "", "at the check", "see the dump's sections"),
    Entry("wrong_data", "at the place", "", "at the read", "see the dump's sections"),
    Entry("leak", "at the place", "", "at the audit", "see the dump's sections"),
    Entry("panic", "at the place", "", "at once", "see the exception in the dump"),
    Entry("crash", "a worker's process ended by itself", "", "at once", "see how it ended"),
    Entry(
        "hung",
        "a worker was told to end and did not, or said its last word and its process did not end",
        "",
        "at the end",
        "the dump shows what it did last",
    ),
)  # fmt: skip
