"""What workers say and how they end, as changes of the run's state.

A death is taken in only after the last message of the dead one has been read, so no outcome is lost.
"""

from functools import partial

from harness.outcome import Crashed, Failed, Killed
from harness.run import messages, process_control, scheduling
from harness.run.barrier import State
from harness.run.run_state import RunState
from harness.run.workers import INJECTED, ChildProcess, WorkerHandle
from harness.watch.records import End


class WorkerEvents:
    """Callbacks for the pipes and deaths of all workers."""

    def __init__(self, state: RunState) -> None:
        self.state = state

    def begin(self) -> None:
        """From now on: all members, and each process once."""
        loop, members = self.state.loop, self.state.crew.members
        for member in members:
            loop.add_wire(member.wire, partial(self._from_member, member))
        for body in {id(m.body): m.body for m in members}.values():
            assert body is not None
            loop.add_reader(body.fd, partial(self._died, body))

    def _from_member(self, member: WorkerHandle) -> None:
        for message in member.wire.receive():
            self._received(member, message)
        if member.wire.ended:
            self.state.loop.remove_reader(member.wire.fd)
            self._left_by_exec(member)

    def _left_by_exec(self, member: WorkerHandle) -> None:
        """Its pipe is closed and it said nothing: dying, or another program by now.

        The kernel has marked its seat in both cases; a dying process has no program any more.  What it has
        become is none of ours to look at: no signal for its stack, and it ends with the run.
        """
        body = member.body
        if member.over or member.said or not member.seat or body is None or body.ended_because:
            return
        plan = self.state.plan
        if plan.mode == "process" and plan.arena.native.seat_dead(member.seat):
            member.program = scheduling.program_of(body.pid)
            if member.program:
                self._settle(member)
                self._report_crashes([member])

    def _received(self, member: WorkerHandle, message: messages.Message) -> None:
        state = self.state
        word, *rest = message
        if word == messages.READY:
            member.seat, member.tid = rest
            member.ready = True
        elif word == messages.PARKED:
            self._parked(member)
        elif word == messages.PAYLOAD:
            state.front.post((messages.PAYLOAD, member.post.name, rest[0]))
        elif word == messages.AUDITED:
            state.audited = (rest[0], rest[1])
            if rest[0] == "failed":
                state.failed(member.post.name, member.seat, rest[1])
        elif word == messages.OUTCOME:
            member.said = tuple(rest)
            self._settle(member)

    def _parked(self, member: WorkerHandle) -> None:
        state, gate = self.state, self.state.gate.gate
        member.parked = True
        if state.ending or gate.state == State.ENDING:
            member.wire.post((messages.FINISH,))
        elif gate.state == State.RUNNING:
            if member.post.spec.service:  # it saw the gate closing and came too late: it is open again
                member.parked = False
                member.wire.post((messages.RESUME, state.epoch))
            else:
                gate.state = State.PARKING

    def _died(self, body: ChildProcess) -> None:
        self.state.loop.remove_reader(body.fd)
        for member in self.state.crew.of_body(body):
            self._from_member(member)  # its last words first
        body.process.join()
        members = [member for member in self.state.crew.of_body(body) if not member.over]
        for member in members:
            self._settle(member)
        self._report_crashes([m for m in members if isinstance(m.outcome, Crashed)])

    def _settle(self, member: WorkerHandle) -> None:
        state = self.state
        member.named_by = state.store.hang_of(member.seat)
        outcome = state.crew.settle(member)
        state.front.post((messages.OUTCOME, outcome))
        if isinstance(outcome, Failed) and member.ready:
            state.failed(outcome.worker, outcome.seat, member.said[2])
        if isinstance(outcome, Killed) and outcome.why == INJECTED:
            state.store.ended(member.seat, f"killed by {INJECTED}")
            state.store.note_injected(member.seat, "killed", state.now())

    def _report_crashes(self, crashed: list[WorkerHandle]) -> None:
        """One process died by itself: one finding, for all threads that lived in it."""
        if not crashed or not crashed[0].ready or not self.state.counting:
            return
        member = crashed[0]
        assert member.body is not None
        code = member.body.process.exitcode
        if member.program:
            how, end = f"it replaced itself by exec of {member.program}", End(program=member.program)
        else:
            how, end = process_control.died_by(code), process_control.end_of(code)
        names = ", ".join(m.post.name for m in crashed)
        self.state.report_crash(names, member.seat, how, end)
