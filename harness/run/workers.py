"""The supervisor's own view of its workers: starting them, their messages, their outcomes, their end.

A *member* is one seat with one role and one pipe; in thread mode all members share a
process.  Guarantees: a member ends with exactly one outcome, decided here from what it said
and how its process ended, whichever came first; no descriptor of one worker is left
open in another.
"""

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import msgspec
import multiprocess

from harness.outcome import Crashed, Failed, Hung, Killed, Outcome, Passed
from harness.run import process_control, worker
from harness.run.barrier import Barrier, Row
from harness.run.messages import Wire
from harness.run.plan import RunPlan
from harness.run.post import Launch, Post, posts_of

INJECTED = "fault injection"
END_OF_RUN = "end of the run"


@dataclass
class ChildProcess:
    """A process, its death, and why we ended it (if we did)."""

    process: Any
    fd: int  # readable when it is over
    ended_because: str = ""
    ended_late: bool = False  # because it did not end by itself in the time that it had

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.process.pid)

    def kill(self, number: int, why: str, late: bool = False) -> None:
        """Send a signal that ends it; the first reason counts."""
        if not self.ended_because:
            self.ended_because, self.ended_late = why, late
        if self.process.exitcode is None:
            process_control.send_signal(self.pid, number)
            process_control.send_signal(self.pid, signal.SIGCONT)  # a stopped process hears SIGTERM only then


@dataclass
class WorkerHandle:
    """One worker."""

    post: Post
    wire: Wire
    body: ChildProcess | None = None
    seat: int = 0
    tid: int = 0
    ready: bool = False
    parked: bool = False
    said: tuple[Any, ...] = ()  # its own account: (steps, word, ...)
    outcome: Outcome | None = None
    program: str = ""  # it replaced itself by exec of this file
    named_by: list[str] = field(default_factory=list)  # verdicts of hangs that name it
    forced: bool = False  # the first of the run was ended by force, and this one was still there
    stood: str = ""  # where it was then, as far as its seat says

    @property
    def over(self) -> bool:
        """It has its outcome."""
        return self.outcome is not None


class Crew:
    """All workers of a run; ``members`` in the order of the plan."""

    def __init__(self, plan: RunPlan, gate: Barrier) -> None:
        self.plan, self.gate = plan, gate
        self.context = multiprocess.get_context("fork")
        self.members: list[WorkerHandle] = []
        self.bodies: list[ChildProcess] = []

    def start(self, foreign: tuple[int, ...]) -> None:
        """Fork them all.  ``foreign``: descriptors of the supervisor that workers must not keep."""
        pairs = [(post, *self.context.Pipe()) for post in posts_of(self.plan)]
        self.members = [WorkerHandle(post, Wire(ours)) for post, ours, _ in pairs]
        theirs_of_all = {theirs.fileno() for *_, theirs in pairs}
        groups = [pairs] if self.plan.mode == "thread" else [[pair] for pair in pairs]
        for group in groups:
            mine = {theirs.fileno() for _, _, theirs in group}
            others = (*foreign, *self.descriptors(), *(theirs_of_all - mine))
            posts = tuple((post, theirs) for post, _, theirs in group)
            launch = Launch(os.getpid(), self.plan, posts, others)
            body = self.spawn(worker.main, (launch,), "+".join(post.name for post, _, _ in group)[:60])
            for post, *_ in group:
                self.members[post.number].body = body
                # Until it has a seat nothing else in the arena names its process.
                self.gate.rows[post.number].pid = body.pid
        for *_, theirs in pairs:
            theirs.close()

    def descriptors(self) -> tuple[int, ...]:
        """Ours, of all processes of the run: what a child that is forked now must let go of."""
        return (*(m.wire.fd for m in self.members), *(body.fd for body in self.bodies))

    def spawn(self, target: Any, args: tuple[Any, ...], name: str) -> ChildProcess:
        """Fork one process."""
        process = self.context.Process(target=target, args=args, name=name)
        with process_control.signals_blocked():
            process.start()
        body = ChildProcess(process, process_control.death_fd(process))
        self.bodies.append(body)
        return body

    def of_body(self, body: ChildProcess) -> list[WorkerHandle]:
        """The members that live in a process."""
        return [member for member in self.members if member.body is body]

    def steppers(self) -> list[WorkerHandle]:
        """Those that are not over and not services."""
        return [m for m in self.members if not m.over and not m.post.spec.service]

    def services(self) -> list[WorkerHandle]:
        """Services that are not over."""
        return [m for m in self.members if not m.over and m.post.spec.service]

    # --- outcomes

    def settle(self, member: WorkerHandle) -> Outcome:
        """Decide the outcome of a member that spoke its last word or whose process is over."""
        body = member.body
        assert body is not None
        row = self.gate.rows[member.post.number]
        where = self.gate.place(member.post.number)
        steps = member.said[0] if member.said else self.gate.steps(member.post.number)
        row.steps, row.state = steps, Row.GONE
        common = {
            "worker": member.post.name,
            "role": member.post.spec.name,
            "index": member.post.index,
            "service": member.post.spec.service,
            "pid": body.pid,
            "tid": member.tid,
            "seat": member.seat,
            "steps": steps,
        }
        member.outcome = self._reported(member, common) or self._unreported(member, body, common, where)
        member.parked = False
        return member.outcome

    def _reported(self, member: WorkerHandle, common: dict[str, Any]) -> Outcome | None:
        word = member.said[1] if member.said else ""
        if word == "passed" and member.named_by and member.forced:
            # It went on because other members of its circle were ended, or because our signal got it out of a
            # call into the kernel: that is our doing.
            return Hung(**common, where=member.stood, verdict=member.named_by[0])
        if word == "passed":
            return Passed(**common)
        # Told to end by SIGTERM, it failed over that: a lock that a wait could not get back, a cleanup.
        if word == "failed" and member.said[3:] == (True,):
            return self._ended(member, common, member.said[2].where)
        if word == "failed":
            known = msgspec.structs.asdict(member.said[2])
            del known["details"]  # of the finding
            return Failed(**common, **known)
        if word == "stopped":
            return self._ended(member, common, member.said[2])
        return None

    def _unreported(
        self, member: WorkerHandle, body: ChildProcess, common: dict[str, Any], where: str
    ) -> Outcome:
        if member.program:
            return Crashed(**common, where=where, program=member.program)
        if body.ended_because:
            return self._ended(member, common, where)
        code = body.process.exitcode
        code = 0 if code is None else int(code)
        return Crashed(**common, where=where, signal=max(0, -code), exit_code=max(0, code))

    def _ended(self, member: WorkerHandle, common: dict[str, Any], where: str) -> Outcome:
        body = member.body
        assert body is not None
        if body.ended_because == INJECTED:
            return Killed(**common, where=where, why=INJECTED)
        # A service has no end of its own: ended with the run, it did nothing wrong.
        hung = member.named_by or (body.ended_late and not member.post.spec.service)
        if hung:
            return Hung(**common, where=where, verdict=member.named_by[0] if member.named_by else "")
        return Killed(**common, where=where, why=body.ended_because or END_OF_RUN)

    # --- the end

    def end(self, members: list[WorkerHandle], number: int, why: str, late: bool) -> None:
        """Send SIGTERM or SIGKILL to the processes of these members."""
        bodies = [body for body in self.bodies if any(member.body is body for member in members)]
        for member in members:
            member.forced, member.stood = True, member.stood or self.gate.place(member.post.number)
        for body in bodies:
            body.kill(number, why, late)

    def tell(self, members: list[WorkerHandle], *message: Any) -> None:
        """Say a word to each that still listens."""
        for member in members:
            if not member.over:
                member.wire.post(message)
