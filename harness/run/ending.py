"""The end of a run as far as a worker is late: more time, the last look, and which workers hang.

Guarantees: before the first process is ended the watchdog has said what it knows and judges no more, so
nothing of our own doing becomes a finding or leaves a dump; a worker that was told to end and did not is
named by a finding, with a dump made while it is still there.  A worker that was stopped from outside, is
traced, or wants the processor and does not get it is not late.
"""

import signal
from collections.abc import Callable

from harness import _native
from harness.run import evidence, process_control, scheduling
from harness.run.event_loop import TICK_S
from harness.run.helper import Helper
from harness.run.run_state import RunState
from harness.run.workers import WorkerHandle

_C = _native.CONSTANTS
Thread = tuple[int, int]  # pid, tid
MOST_TIMES = 100  # a limit, for threads that get no processor: each gets at least a hundredth of one
MOST_STOPS = 10  # a run that is stopped again and again while it ends gets no more time than that
HUSH_S = 10.0  # the watchdog has so long to finish a dump


class Lateness:
    """What the supervisor does about those that are late."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.plan, self.crew, self.watcher, self.store = state.plan, state.crew, state.watcher, state.store
        self.helper: Helper | None = None  # it works now

    def go_on(self) -> bool:
        """What was stopped from outside must run to end.  One that is traced stays as it is.

        Tells whether there was one.
        """
        bodies = {m.body.pid: m.post.name for m in self.crew.members if m.body is not None and not m.over}
        if self.watcher.body is not None:
            bodies[self.watcher.body.pid] = "watchdog"
        if self.helper is not None and not self.helper.over:
            bodies[self.helper.body.pid] = self.helper.post.name
        stopped = {pid: name for pid, name in bodies.items() if scheduling.of_thread(pid, pid).state == "T"}
        for pid, name in stopped.items():
            self.store.incident(f"{name} was stopped by a signal from outside and is continued to end")
            process_control.send_signal(pid, signal.SIGCONT)
        return bool(stopped)

    def in_time(
        self,
        done: Callable[[], bool],
        late: Callable[[], list[Thread]],
        limit: float,
        ends: bool = True,
    ) -> None:
        """Wait for ``done``, until those that are late have had ``limit`` seconds of their own.

        Time in which any thread of the run waited for a processor or was stopped does not count: the late
        ones may wait for it.  When the run ``ends``, a stopped process is continued, and the time begins
        anew; stops are excused for twice the limit.  After a finding or an interrupt all time counts.
        """
        own, spent, anew = scheduling.OwnTime(2 * limit), 0.0, 0
        clock = self.state.clock
        begun = last = clock.now()
        while not done():
            if ends and anew < MOST_STOPS and self.go_on():
                anew, spent = anew + 1, 0.0
            now = clock.now()
            passed, last = now - last, now
            hurry = self.state.ending in ("finding", "interrupt", "broken") or anew == MOST_STOPS
            spent += passed if hurry else own.passed(passed, late(), self.threads())
            if spent >= limit or now - begun >= MOST_TIMES * limit:
                return
            self.state.loop.turn(min(TICK_S, limit - spent))

    def threads(self) -> list[Thread]:
        """Of all workers and of the helper, as far as they are not over."""
        found = [(m.body.pid, m.tid) for m in self.crew.members if m.body is not None and not m.over]
        if self.helper is not None and not self.helper.over:
            found.append((self.helper.body.pid, self.helper.tid))
        return found

    def last_look(self, late: list[WorkerHandle]) -> None:
        """Before anything is ended: what the watchdog knows, and the finding that names those that hang.

        A service that has no ``stop`` has no end of its own.  An interrupt is in a hurry, and a finding has
        said what there is to say.
        """
        state, before = self.state, self.state.counting
        crashed = {f.verdict for f in self.store.findings} <= {"crash", "orphaned_lock"}
        self.hush(settle=state.ending in ("", "time limit") or (state.ending == "finding" and crashed))
        if not before or state.ending not in ("", "time limit"):
            return
        hung = [m for m in late if not m.over and self.is_hung(m)]
        if hung:
            why = f"told to end, and {self.plan.grace_s:g} s later still there"
            self.hung([(m.post.name, seat_of(state, m)) for m in hung], why)

    def is_hung(self, member: WorkerHandle) -> bool:
        """It ought to have come to its end, and no finding says why it did not."""
        seat = seat_of(self.state, member)
        if self.store.hang_of(seat) or self.standing(member).state == "t":
            return False
        return not member.post.spec.service or member.post.spec.stop is not None

    def standing(self, member: WorkerHandle) -> scheduling.Standing:
        """How its thread stands now."""
        return scheduling.of_thread(member.body.pid, member.tid) if member.body else scheduling.Standing()

    def hung(self, late: list[tuple[str, int]], why: str) -> None:
        """Record that these, as (name, seat), hang: with a last dump, while they are there."""
        *told, trouble = evidence.of_hung(self.plan, late, why)
        if trouble:
            self.store.incident(trouble)
        summary, dump, text = told
        names, seats = [name for name, _ in late], [seat for _, seat in late if seat]
        self.store.hung(names, seats, (summary, dump, text), self.state.now())
        self.state.tell_front()

    def hush(self, settle: bool) -> None:
        """From here on what is seen is our own doing: the watchdog says what it knows, and judges no more.

        With ``settle`` what it told as a notice and still holds is a finding.  It has its time, in which
        it may finish a dump; what it says later is not counted and leaves none.
        """
        state = self.state
        if not state.counting:
            return
        if self.watcher.body is not None and not state.broken and not state.closing:
            self.watcher.hush(settle)
            state.loop.wait_until(lambda: self.watcher.quiet or state.broken, HUSH_S, every_s=0.005)
        state.counting = False
        # A thread in trouble would wait until it was seen.
        self.plan.arena.native.mode &= ~_C["WAIT_FOR_WATCHER"]


def seat_of(state: RunState, member: WorkerHandle) -> int:
    """Its seat; also before it has said so."""
    return member.seat or int(state.gate.rows[member.post.number].seat)
