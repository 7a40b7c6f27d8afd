"""A process of its own for one call: an audit, or the stop of a service.

Supervised like a worker: its exception is a finding, so is its death, and it may hang
without any other thread noticing.  The supervisor itself never calls what may take a lock.
"""

import os
import signal
from typing import TYPE_CHECKING, Any

from harness.run import messages, process_control, worker
from harness.run.messages import Wire
from harness.run.plan import RoleSpec
from harness.run.post import Launch, Post
from harness.run.workers import END_OF_RUN

if TYPE_CHECKING:
    from harness.run.event_loop import EventLoop


class Helper:
    """``said`` is (word, value) when it has answered; ``over`` when nothing more will come."""

    def __init__(self, home: "EventLoop", role: str, function: Any, wants_context: bool) -> None:
        self.home, self.function, self.wants_context = home, function, wants_context
        # Behind the last worker's row; the gate does not count it.
        self.post = Post(len(home.crew.members), home.epoch, RoleSpec(role, function, service=True))
        self.said: tuple[str, Any] | None = None
        self.over = False
        self.seat = self.tid = 0

    def start(self) -> None:
        """Fork it."""
        home = self.home
        ours, theirs = home.crew.context.Pipe()
        fds = [home.front.fd, ours.fileno(), *(m.wire.fd for m in home.crew.members)]
        fds += [body.fd for body in home.crew.bodies if body.fd >= 0]
        if home.watcher.wire is not None:
            fds.append(home.watcher.wire.fd)
        launch = Launch(os.getpid(), home.plan, ((self.post, theirs),), tuple(fds))
        args = (launch, self.function, self.wants_context)
        self.body = home.crew.spawn(worker.helper_main, args, self.post.name)
        self.wire = Wire(ours)
        theirs.close()
        self.wire.post((messages.GO, home.epoch))
        home.hear(self.wire, self.body, self._heard, self._died)

    def _heard(self) -> None:
        for word, *rest in self.wire.receive():
            if word == messages.READY:
                self.seat, self.tid = rest
            elif word == messages.PAYLOAD:
                self.home.front.post((messages.PAYLOAD, self.post.name, rest[0]))
            elif word == messages.AUDITED:
                self.said = (rest[0], rest[1])
                if rest[0] == "failed":
                    self.home.failed(self.post.name, self.seat, rest[1])
        if self.wire.ended:
            self.home.remove_reader(self.wire.fd)

    def _died(self) -> None:
        self.home.remove_reader(self.body.fd)
        self._heard()
        self.body.process.join()
        if self.said is None and not self.body.ended_because:
            code = self.body.process.exitcode
            how, end = process_control.died_by(code), process_control.end_of(code)
            self.home.report_crash(self.post.name, self.seat, how, end)
        self.over = True

    def end(self) -> None:
        """Whatever it was about to do; reaped, and its pipe is closed."""
        if not self.over:
            self.body.kill(signal.SIGKILL, END_OF_RUN)
            self.home.store.incident(f"{self.post.name} did not come to an end and was killed")
            self.home.wait_until(lambda: self.over)
        self.home.remove_reader(self.wire.fd)
        self.wire.close()
        self.home.crew.bodies.remove(self.body)
        os.close(self.body.fd)
