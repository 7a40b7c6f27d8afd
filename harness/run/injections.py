"""Sending injected faults: a timer of the event loop, and the signals that it leads to."""

import signal

from harness.run import process_control
from harness.run.event_loop import Timer
from harness.run.faults import Injection, Injector
from harness.run.plan import derive_seed
from harness.run.run_state import RunState
from harness.run.workers import INJECTED


class Injections:
    """From ``begin`` to ``end``; what is sent is told as an incident."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.injector = Injector(state.plan.faults, derive_seed(state.plan.seed, "faults"))
        self.timer: Timer | None = None

    def begin(self) -> None:
        """The workers were let go."""
        self.timer = self.state.loop.call_at(self.state.begun + self.injector.next_at(), self._due)

    def end(self) -> None:
        """No more of them; every process that is stopped goes on."""
        if self.timer is not None:
            self.timer.cancel()
        self._send(self.injector.end())

    def _due(self) -> None:
        self._send(self.injector.due(self.state.now(), self._targets()))
        self.begin()

    def _targets(self) -> list[int]:
        roles = self.injector.faults.roles
        return [
            m.post.number
            for m in self.state.crew.members
            if not m.over and (m.post.spec.name in roles if roles else not m.post.spec.service)
        ]

    def _send(self, injections: list[Injection]) -> None:
        state = self.state
        for injection in injections:
            member = state.crew.members[injection.target]
            assert member.body is not None
            if member.over or member.body.process.exitcode is not None:
                continue
            when = f"after {state.now():.3f} s"
            if injection.signal == signal.SIGKILL:
                member.body.kill(signal.SIGKILL, INJECTED)
                state.store.note_injected(member.seat, "killed", state.now())
                state.store.incident(f"{INJECTED}: SIGKILL to {member.post.name} {when}")
                continue
            process_control.send_signal(member.body.pid, injection.signal)
            if injection.signal == signal.SIGSTOP:
                state.store.note_injected(member.seat, "stopped", state.now() + injection.stopped_s)
                state.store.incident(
                    f"{INJECTED}: SIGSTOP to {member.post.name} {when} for {injection.stopped_s:.3f} s"
                )
