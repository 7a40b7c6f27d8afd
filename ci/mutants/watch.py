"""Deliberate errors of harness/watch: excuses, limits, edges and sentences that a verdict rests on.

Each is tried against the programs of known truth that are about it, then against the watchdog's own tests
and the quick sample.  An argument stands where nothing can notice the error.
"""

import sys

from ci.mutants.engine import Command, Mutant, Suite

PYTHON = sys.executable
WATCH = "harness/watch/"
FEW_S, MANY_S = 240.0, 420.0


def error(about: str, name: str, file: str, old: str, new: str, equivalent: str = "") -> Mutant:
    """A mutant, and the programs of known truth (patterns) that are about it."""
    ABOUT[name] = about
    return Mutant(name, WATCH + file, old, new, equivalent)


ABOUT: dict[str, str] = {}
MUTANTS = (
    # --- lost wakeups
    error(
        "another_thread_has_the_guard_and_will_wake",
        "the guard's holder is no excuse",
        "lost.py",
        "free = turn[0] == 0 or turn != seen.facts",
        "free = True",
    ),
    error(
        "guard_went_to_a_thread_that_keeps_it",
        "a guard that changed hands is still an excuse",
        "lost.py",
        "free = turn[0] == 0 or turn != seen.facts",
        "free = turn[0] == 0",
    ),
    error(
        "timed_sleeper_that_polls",
        "a sleeper with a limit is accused",
        "lost.py",
        "and free and not wait.timed and _is_past",
        "and free and _is_past",
    ),
    error(
        "noted_change_and_a_late_wakeup",
        "who changed the word is past it at once",
        "lost.py",
        "return 0 < change.step <= other.steps",
        "return True",
    ),
    error(
        "forgotten_under_a_mutex",
        "a completed step is not past the change",
        "lost.py",
        "return 0 < change.step <= other.steps",
        "return False",
    ),
    error(
        "waker_killed_between_store_and_wakeup",
        "a dead waker is still on its way",
        "lost.py",
        "if other is None or other.dead:\n        return True",
        "if other is None or other.dead:\n        return False",
    ),
    error(
        "waker_idles_after_its_change",
        "an idle waker is still on its way",
        "lost.py",
        'PAST = ("idle", "parked", "join")',
        'PAST = ("parked", "join")',
    ),
    error(
        "waker_traced_longer_than_the_stall_limit",
        "a debugger's waker ends the run",
        "lost.py",
        "if traced:\n        seen.told = 0.0",
        "if False:\n        seen.told = 0.0",
    ),
    error(
        "waker_that_is_seven_seconds_late",
        "a late waker is not reported",
        "lost.py",
        "notice=history.clock - seen.first >= limits.waker_s",
        "notice=False",
    ),
    error(
        "waker_sleeps_in_its_step",
        "a late waker is reported at once",
        "lost.py",
        "notice=history.clock - seen.first >= limits.waker_s",
        "notice=True",
    ),
    error(
        "forgotten_and_not_noted_by_whom",
        "an unknown waker never becomes a finding",
        "lost.py",
        "certain=proved or lasting",
        "certain=proved",
    ),
    # --- nobody is left
    error(
        "a_timer_will_wake_it",
        "threads without a seat are not counted",
        "lost.py",
        "certain=now.outsiders == []",
        "certain=True",
    ),
    error(
        "no_thread_is_left_who_could_wake_it",
        "nobody left is never certain",
        "lost.py",
        "certain=now.outsiders == []",
        "certain=False",
    ),
    error(
        "a_timed_sleeper_will_wake_it",
        "a wait with a limit is one for good",
        "lost.py",
        "if wait is None or wait.timed or seat.state in kernel.STOPPED:",
        "if wait is None or seat.state in kernel.STOPPED:",
    ),
    error(
        "idle_threads_and_an_alarm_that_wakes_one",
        "an idle sleeper waits for good",
        "lost.py",
        'return (wait.kind in LOCKS or wait.kind == "join") and seat.number in blocked',
        "return True",
    ),
    error(
        "waker_ends_without_a_word",
        "who waits for a lock does not wait for good",
        "lost.py",
        'return (wait.kind in LOCKS or wait.kind == "join") and seat.number in blocked',
        "return False",
    ),
    # --- orphans
    error(
        "killed_holder_that_no_thread_misses",
        "told although no thread wants it",
        "orphans.py",
        "certain=bool(waiters) and seen.looks > 1",
        "certain=seen.looks > 1",
    ),
    error(
        "killed_holder_that_no_thread_misses",
        "not told at the end",
        "orphans.py",
        "at_end=True",
        "at_end=False",
    ),
    error(
        "killed_holder_and_a_waiter_that_is_stopped",
        "a death and its report are two findings",
        "orphans.py",
        'key, seats = f"orphaned_lock:{int(row.id)}"',
        'key, seats = f"orphaned_lock:report:{int(row.id)}"',
    ),
    error(
        "killed_holder_says_how_it_ended",
        "how it ended is not said",
        "orphans.py",
        'how = f" ({ended})" if ended else ""',
        'how = ""',
    ),
    # --- stalls and polls
    error(
        "holder_that_*",
        "a holder that works ends the run",
        "stuck.py",
        "certain=not works and not quiet",
        "certain=not quiet",
    ),
    error(
        "holder_sleeps_for_good",
        "a holder that sleeps only makes a notice",
        "stuck.py",
        "certain=not works and not quiet",
        "certain=False",
    ),
    error(
        "poller_that_gave_up",
        "who has given up still polls",
        "stuck.py",
        "return None  # it has given up and does something else",
        "pass",
    ),
    error(
        "polled_try_lock",
        "a poll is no wait",
        "stuck.py",
        "return _polled(seat, now, history, limits)",
        "return None",
    ),
    error(
        "word_that_never_changes",
        "a word is not waited for",
        "stuck.py",
        'if wait.kind == "sleep" and wait.unwoken and not wait.timed and wait.holds is not True:',
        "if False:",
    ),
    error(
        "beside_a_heartbeat without_any_step",
        "a lock is not waited for",
        "stuck.py",
        'return f"lock:{wait.offset}", holders[0]',
        "return None",
    ),
    # --- livelocks
    error(
        "both_sides_retry_for_ever",
        "a round of timed waits is nothing",
        "stuck.py",
        "len(seen.facts) < MANY_ROUNDS",
        "True",
    ),
    error(
        "restarts_that_never_end",
        "restarts without end are nothing",
        "restarts.py",
        "MOST_RESTARTS = 100",
        "MOST_RESTARTS = 10**9",
    ),
    error(
        "restarts_that_get_through",
        "the end of a step is no end of its restarts",
        "restarts.py",
        "seen = history.hold(key, now.taken_ns, seat.steps)",
        "seen = history.hold(key, now.taken_ns)",
    ),
    error(
        "polite_poller",
        "polls of one lock are restarts",
        "restarts.py",
        "every = seat.restarts - self.first",
        "every = seat.failures - self.first",
    ),
    error(
        "spinners_on_two_locks_that_get_through",
        "tries that a lock may still take back are restarts",
        "restarts.py",
        "(0 if clock - self.since >= limit_s else seat.spun)",
        "0",
    ),
    error(
        "spins_on_two_locks_for_good",
        "tries at several locks are never restarts",
        "restarts.py",
        "(0 if clock - self.since >= limit_s else seat.spun)",
        "seat.spun",
    ),
    # --- edges
    error(
        "a_count_that_leaves_room_for_its_own_claim",
        "a count leaves no room for one's own share",
        "waits.py",
        'return wait.wanted > 0 and wait.op in ("==", "<=", "<")',
        "return False",
    ),
    error(
        "claim_round",
        "a claim is no edge",
        "waits.py",
        'elif wait.kind == "sleep" and wait.holds is False:',
        "elif False:",
    ),
    error(
        "join_round",
        "the end of a thread is no edge",
        "waits.py",
        'elif wait.kind == "join" and wait.offset in going:',
        "elif False:",
    ),
    error(
        "through_a_queued_writer",
        "a place in a queue is no edge",
        "waits.py",
        "if ahead and ahead != seat.number and",
        "if False and",
    ),
    error(
        "three_readers_write_round",
        "readers are in no writer's way",
        "waits.py",
        'hard = [fact.holder] if kind in ("mutex", "read") else [fact.holder, *fact.readers]',
        "hard = [fact.holder]",
    ),
    error(
        "upgrader_behind_a_slow_reader",
        "one's own share is in one's own way",
        "waits.py",
        "found = [edge for edge in found if edge.holder != seat.number]",
        "pass",
    ),
    # --- facts
    error(
        "names_that_are_no_text",
        "a class name must be whole",
        "reader.py",
        'self.classes[number].name.decode(errors="replace")',
        "self.classes[number].name.decode()",
    ),
    error(
        "",
        "no row is torn",
        "snapshot.py",
        "torn=before != seat.wait_seq or activity != seat.activity,",
        "torn=False,",
    ),
    error(
        "writer_behind_a_sleeping_reader",
        "who wants to read is taken for a reader",
        "reader.py",
        '== _C["READING"]',
        '== _C["WANTS"]',
    ),
    # --- time, and what is handed on
    error(
        "the_watcher_itself_was_stopped",
        "what was not watched counts",
        "watchdog.py",
        "self.history.clock += min(now - self._last_pass, GAP_S)",
        "self.history.clock += now - self._last_pass",
    ),
    error(
        "holder_that_works_beyond_the_stall_limit",
        "a notice is a finding",
        "telling.py",
        "notice = not suspicion.certain",
        "notice = False",
    ),
    error(
        "abba",
        "the same trouble is told again and again",
        "watchdog.py",
        "(self._noticed if notice else self._known).add(suspicion.key)",
        "pass",
    ),
    error(
        "holder_sleeps_for_good beside_a_heartbeat",
        "time does not pass",
        "history.py",
        "old.told += self.clock - old.last",
        "old.told += 0.0",
    ),
    error(
        "",
        "the second look at a circle is the first once more",
        "watchdog.py",
        "snapshot = take(self.reader)\n            found +=",
        "found +=",
    ),
    error("", "stacks before the second look", "watchdog.py", "if not self._put_off:", "if True:"),
    error("", "a pass waits for the stacks", "watchdog.py", "self.look()\n", "self.scan()\n"),
    error(
        "",
        "a run that is over leaves dumps without stacks",
        "watchdog.py",
        "else self.period_s)\n            self.telling.finish()",
        "else self.period_s)",
    ),
    error(
        "",
        "a stall does not say where its holder is",
        "explain.py",
        "if place else summary",
        "if False else summary",
    ),
    error(
        "",
        "those of an earlier boot live",
        "reader.py",
        "return self.earlier_boot or bool(",
        "return bool(",
    ),
    error(
        "killed_sleeper killed_waiter waker_killed_before_it_stored",
        "a dead thread is alive",
        "snapshot.py",
        "dead = reader.dead(seat.number)",
        "dead = False",
    ),
)


def tries(mutant: Mutant) -> list[Command]:
    """What is about it; then everything quick."""
    names = ABOUT.get(mutant.name, "abba").split()
    about = (
        [Command("truth: " + " ".join(names), (PYTHON, "-m", "tests.truth", *names), FEW_S)] if names else []
    )
    return [
        *about,
        Command(
            "tests/truth/test_rows.py",
            (PYTHON, "-m", "pytest", "-q", "-x", "tests/truth/test_rows.py"),
            FEW_S,
        ),
        Command(
            "tests/harness/watch",
            (PYTHON, "-m", "pytest", "-q", "-x", "-m", "not slow", "tests/harness/watch", "tests/truth"),
            MANY_S,
        ),
    ]


SUITE = Suite(
    name="watch",
    mutants=MUTANTS,
    copy=("harness", "vmcore", "stress", "tests", "pyproject.toml"),
    tries=tries,
)
