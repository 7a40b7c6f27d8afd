"""The end of a run as far as somebody is late: more time, the last look, and who hangs.

Guarantees: before the first process is ended the watchdog has said what it knows and judges no more, so
nothing of our own doing becomes a finding or leaves a dump; who was told to end and did not is named by a
finding, with its picture taken while it is still there.  Not late is a worker that was stopped from
outside, is traced, or wants the processor and does not get it.
"""

import signal
from collections.abc import Callable

from harness import _native
from harness.clock import Deadline
from harness.run import evidence, lifeline, standing
from harness.run.crew import Member
from harness.run.hearing import TICK_S, Hearing

_C = _native.CONSTANTS
MOST_TIMES = 10  # the grace of a thread that gets no processor
HUSH_S = 10.0  # the watchdog has so long to finish a dump


class Ending(Hearing):
    """What the supervisor does about those who are late."""

    def go_on(self) -> None:
        """Whoever was stopped from outside: to end, it must run.  One that is traced stays as it is."""
        bodies = {m.body.pid: m.post.name for m in self.crew.members if m.body is not None and not m.over}
        if self.watcher.body is not None:
            bodies[self.watcher.body.pid] = "watchdog"
        for pid, name in bodies.items():
            if standing.of_thread(pid, pid).state == "T":
                self.ledger.incident(f"{name} was stopped by a signal from outside and is continued to end")
                lifeline.send_signal(pid, signal.SIGCONT)

    def starved(self, who: Callable[[], list[tuple[int, int]]], grace: float) -> None:
        """More time for threads, as (pid, tid), that want the processor and do not get it, or are traced.

        The time of a thread that runs is what it got; ``MOST_TIMES`` the grace is enough for anybody.
        """
        first = {one: standing.of_thread(*one).cpu_s for one in who()}
        late = Deadline(MOST_TIMES * grace, self.clock)

        def wants() -> bool:
            now = [(one, standing.of_thread(*one)) for one in who()]
            return any(look.state == "R" and look.cpu_s - first.get(one, 0.0) < grace for one, look in now)

        while wants() and not late.passed() and self.ending != "interrupt":
            self.pump(TICK_S)

    def last_look(self, late: list[Member]) -> None:
        """Before anything is ended: what the watchdog knows, and the finding that names those who hang.

        A service that has no ``stop`` has no end of its own.  An interrupt is in a hurry, and a finding has
        said what there is to say.
        """
        before = self.listening
        crashed = {f.verdict for f in self.ledger.findings} <= {"crash", "orphaned_lock"}
        self.hush(settle=self.ending in ("", "time limit") or (self.ending == "finding" and crashed))
        if not before or self.ending not in ("", "time limit"):
            return
        hung = [m for m in late if not m.over and self.is_hung(m)]
        if hung:
            why = f"told to end, and {self.plan.grace_s:g} s later still there"
            self.hung([(m.post.name, seat_of(self, m)) for m in hung], why)

    def is_hung(self, member: Member) -> bool:
        """It ought to have come to its end, and no finding says why it did not."""
        seat = seat_of(self, member)
        if self.ledger.hang_of(seat) or self.standing(member).state == "t":
            return False
        return not member.post.spec.service or member.post.spec.stop is not None

    def standing(self, member: Member) -> standing.Standing:
        """How its thread stands now."""
        return standing.of_thread(member.body.pid, member.tid) if member.body else standing.Standing()

    def hung(self, late: list[tuple[str, int]], why: str) -> None:
        """Write down that these, as (name, seat), hang: with the last picture, while they are there."""
        *told, trouble = evidence.of_hung(self.plan, late, why)
        if trouble:
            self.ledger.incident(trouble)
        summary, dump, text = told
        self.ledger.hung(
            [name for name, _ in late], [seat for _, seat in late if seat], (summary, dump, text), self.now()
        )
        self.tell_front()

    def hush(self, settle: bool) -> None:
        """From here on what is seen is our own doing: the watchdog says what it knows, and judges no more.

        With ``settle`` what it told as a notice and still holds is a finding.  It has its time, in which
        it may finish a dump; what it says later is not counted and leaves none.
        """
        if not self.listening:
            return
        if self.watcher.body is not None and not self.broken and not self.closing:
            self.watcher.hush(settle)
            self.wait_until(lambda: self.watcher.quiet or self.broken, HUSH_S, every_s=0.005)
        self.listening = False
        # A thread in trouble would wait until it was seen.
        self.plan.arena.native.mode &= ~_C["FREEZE"]


def seat_of(home: Hearing, member: Member) -> int:
    """Its seat; also before it has said so."""
    return member.seat or int(home.gate.rows[member.post.number].seat)
