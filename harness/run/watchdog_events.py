"""What the watchdog says, and that it died, as changes of the run's state."""

from functools import partial

from harness.locks import reports
from harness.outcome import Finding
from harness.run import messages, process_control
from harness.run.findings import forget
from harness.run.messages import Wire
from harness.run.run_state import RunState
from harness.run.watchdog_process import MOST_RESTARTS
from harness.run.workers import ChildProcess


class WatchdogEvents:
    """Callbacks for the watchdog's pipe and its death."""

    def __init__(self, state: RunState) -> None:
        self.state, self.watcher = state, state.watcher

    def start(self) -> None:
        """Fork the watchdog, and wait for its messages and its death from now on."""
        self.watcher.start((*self.state.descriptors(), *self.state.crew.descriptors()))
        wire, body = self.watcher.wire, self.watcher.body
        assert wire is not None
        assert body is not None
        self.state.loop.add_wire(wire, partial(self._received, wire))
        self.state.loop.add_reader(body.fd, partial(self._died, wire, body))

    def read_rest(self) -> None:
        """What it said last, also when its process is over."""
        if self.watcher.wire is not None:
            self._received(self.watcher.wire)

    def has_unread_reports(self) -> bool:
        """Is there a report in the arena that the watchdog has not acknowledged?"""
        return any(row.acked != row.state for row in reports.rows(self.state.plan.arena))

    def _received(self, wire: Wire) -> None:
        for word, *rest in wire.receive():
            if word == messages.READY:
                self.watcher.ready = True
            elif word == messages.ERROR:
                self.watcher.trouble = rest[0]
            elif word == messages.QUIET:
                self.watcher.quiet = True
            elif word in (messages.FINDING, messages.NOTICE):
                self._found(word, rest[0])
        if wire.ended:
            self.state.loop.remove_reader(wire.fd)

    def _found(self, word: str, found: Finding) -> None:
        """A verdict: it counts until we begin to kill, and what does not count leaves no dump."""
        state = self.state
        if not state.counting:
            forget(found)
        elif word == messages.FINDING:
            state.store.from_watchdog(found, state.now())
        elif (notice := state.store.notice(found, state.now())) is not None:
            state.front.post((messages.NOTICE, notice))

    def _died(self, wire: Wire, body: ChildProcess) -> None:
        state = self.state
        state.loop.remove_reader(body.fd)
        self._received(wire)
        state.loop.remove_reader(wire.fd)
        body.process.join()
        if state.closing:
            return
        how = self.watcher.trouble or process_control.died_by(body.process.exitcode)
        if self.watcher.restarts >= MOST_RESTARTS or not self.watcher.ready:
            state.broken = f"the watchdog died, so a hang would not have been found: {how}"
            state.ending = state.ending or "broken"
            return
        state.store.incident(f"the watchdog died ({how}) and was started again")
        self.watcher.restarts += 1
        self.start()
