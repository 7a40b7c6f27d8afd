"""A process of its own for one call: an audit, or the stop of a service.

Supervised like a worker: its exception is a finding, so is its death, and when it hangs the
supervisor goes on.  The supervisor itself never calls what may take a lock.
"""

import os
import signal
from typing import Any

from harness.run import messages, process_control, worker
from harness.run.messages import Wire
from harness.run.plan import RoleSpec
from harness.run.post import Launch, Post
from harness.run.run_state import RunState
from harness.run.workers import END_OF_RUN


class Helper:
    """``said`` is (word, value) when it has answered; ``over`` when nothing more will come."""

    def __init__(self, state: RunState, role: str, function: Any, wants_context: bool) -> None:
        self.state, self.function, self.wants_context = state, function, wants_context
        # Behind the last worker's row; the gate does not count it.
        self.post = Post(len(state.crew.members), state.epoch, RoleSpec(role, function, service=True))
        self.said: tuple[str, Any] | None = None
        self.over = False
        self.seat = self.tid = 0

    def start(self) -> None:
        """Fork it."""
        state = self.state
        ours, theirs = state.crew.context.Pipe()
        foreign = (*state.descriptors(), *state.crew.descriptors(), ours.fileno())
        launch = Launch(os.getpid(), state.plan, ((self.post, theirs),), foreign)
        args = (launch, self.function, self.wants_context)
        self.body = state.crew.spawn(worker.helper_main, args, self.post.name)
        self.wire = Wire(ours)
        theirs.close()
        self.wire.post((messages.GO, state.epoch))
        state.loop.add_wire(self.wire, self._received)
        state.loop.add_reader(self.body.fd, self._died)

    def _received(self) -> None:
        for word, *rest in self.wire.receive():
            if word == messages.READY:
                self.seat, self.tid = rest
            elif word == messages.PAYLOAD:
                self.state.front.post((messages.PAYLOAD, self.post.name, rest[0]))
            elif word == messages.AUDITED:
                self.said = (rest[0], rest[1])
                if rest[0] == "failed":
                    self.state.failed(self.post.name, self.seat, rest[1])
        if self.wire.ended:
            self.state.loop.remove_reader(self.wire.fd)

    def _died(self) -> None:
        self.state.loop.remove_reader(self.body.fd)
        self._received()
        self.body.process.join()
        if self.said is None and not self.body.ended_because:
            code = self.body.process.exitcode
            how, end = process_control.died_by(code), process_control.end_of(code)
            self.state.report_crash(self.post.name, self.seat, how, end)
        self.over = True

    def end(self) -> None:
        """Kill it if it is not over; reap it, and close its pipe."""
        if not self.over:
            self.body.kill(signal.SIGKILL, END_OF_RUN)
            self.state.store.incident(f"{self.post.name} did not come to an end and was killed")
            self.state.loop.wait_until(lambda: self.over)
        self.state.loop.remove_reader(self.wire.fd)
        self.wire.close()
        self.state.crew.bodies.remove(self.body)
        os.close(self.body.fd)
