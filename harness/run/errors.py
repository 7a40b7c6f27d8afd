"""Errors of the machinery itself: exit code 3, with what is known by then.

Only what no worker's outcome can say: the run could not begin, or lost its supervisor
or watchdog.  ``WorkerFailed`` is in harness.errors.
"""

from harness.errors import HarnessError, WorkerFailed
from harness.outcome import Finding, Outcome


class RunFailed(HarnessError):
    """The run came to no result.

    ``outcomes``, ``findings``, ``incidents``: what was known by then, as in RunResult.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outcomes: tuple[Outcome, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self.incidents: tuple[str, ...] = ()


class SupervisorDied(RunFailed):
    """The process that runs the workers is gone; they went with it.

    ``how``: in words; ``signal``: its number, 0: none; ``left``: how many processes did not end in time.
    """

    def __init__(self, how: str, signal: int = 0, left: int = 0) -> None:
        rest = f"; {left} of its processes did not end in time" if left else "; all its workers are gone"
        super().__init__(f"the supervisor of the run died: {how}{rest}")
        self.how, self.signal, self.left = how, signal, left


class WatchdogDied(RunFailed):
    """The watchdog died twice, so a hang would not have been found."""


class Shortage(RunFailed):
    """The machine, or a limit of this user, gave the supervisor no process, memory or descriptor."""

    exit_code = 4
    hint = "ulimit -a"

    def __init__(self, what: str, how: str = "") -> None:
        super().__init__(f"this machine gives the run no more {what}" + (f": {how}" if how else ""))
        self.what = what


class SupervisorFailed(RunFailed):
    """The supervisor met an error of its own; ``traceback`` is its text."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class StartFailed(WorkerFailed):
    """A worker died, or failed, before it reported ready.

    ``worker``: its name, role#index; ``cause``: in words.
    """

    def __init__(self, worker: str, cause: str) -> None:
        super().__init__(f"worker {worker} never reported ready: {cause}")
        self.worker, self.cause = worker, cause
