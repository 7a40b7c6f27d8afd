"""What came of a run: frozen records, one per worker, nothing summed up away.

Guarantees: every worker that was to be started has exactly one outcome; all records
are plain data (msgspec: JSON in both directions, pickle, equality).  Times are
seconds.  Refuses nothing: a result may be partial (``ended_by`` says why).
"""

from typing import Any

import msgspec

NOTHING_FOUND, FOUND, HARNESS_FAILED, INTERRUPTED = 0, 1, 3, 130  # exit codes of the command line


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base: immutable, by keyword."""


class Worker(Record, frozen=True, kw_only=True, tag_field="outcome"):
    """What is known of any worker when it is over."""

    worker: str  # role#index
    role: str
    index: int = 0
    service: bool = False  # its life was not the run's purpose
    pid: int = 0  # 0: never started
    tid: int = 0
    seat: int = 0  # 0: never sat down
    steps: int = 0  # operations completed
    where: str = ""  # last known place: "file:line function", or the operation it was in


class Passed(Worker, frozen=True, kw_only=True, tag="passed"):
    """It returned."""


class Failed(Worker, frozen=True, kw_only=True, tag="failed"):
    """An exception ended it."""

    error: str  # class name
    text: str
    traceback: str
    verdict: str = ""  # of the exception's class; empty: it has none


class Crashed(Worker, frozen=True, kw_only=True, tag="crashed"):
    """It died by itself: a signal that nobody of ours sent, or it left without a word.

    ``program``: it replaced itself by ``exec`` of that file; its process may have gone on.
    """

    signal: int = 0
    exit_code: int = 0
    program: str = ""


class Hung(Worker, frozen=True, kw_only=True, tag="hung"):
    """It was told to end and did not, or was part of a hang that was found."""

    verdict: str = ""  # of the finding that names it


class Killed(Worker, frozen=True, kw_only=True, tag="killed"):
    """The supervisor ended it on purpose."""

    why: str  # "fault injection", "end of the run", ...


Outcome = Passed | Failed | Crashed | Hung | Killed


class Finding(Record, frozen=True, kw_only=True):
    """One thing that went wrong."""

    id: int
    verdict: str
    summary: str  # one sentence
    dump: str = ""  # path of the file; empty: there is none
    text: str = ""  # the dump as text, where there is no file
    detected_after_s: float = 0.0  # from its happening to its being written down, as far as that is known
    at_s: float = 0.0  # since the workers were let go
    reproduce: str = ""  # a command
    seats: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()
    key: str = ""  # the same trouble has the same key: a notice and the finding that it became


class Payload(Record, frozen=True, kw_only=True):
    """Something that a worker sent."""

    worker: str
    value: Any


class RunResult(Record, frozen=True, kw_only=True):
    """A run, whole or partial."""

    outcomes: tuple[Outcome, ...]  # of all workers, in the order of the roles
    findings: tuple[Finding, ...] = ()
    notices: tuple[Finding, ...] = ()  # told with their evidence, not proved: they count for nothing
    limits: dict[str, float] = {}  # seconds of watched time after which what is watched counts
    incidents: tuple[str, ...] = ()  # what happened beside the plan, in order
    payloads: tuple[Payload, ...] = ()
    audits: tuple[Any, ...] = ()  # what each audit returned
    epochs: int = 0  # completed, with their audit
    steps: int = 0
    duration_s: float = 0.0  # from go to the last worker's end, without time in which we were stopped
    ended_by: str = "done"  # done, finding, time limit, interrupt
    seed: int = 0
    mode: str = "process"

    @property
    def interrupted(self) -> bool:
        """Somebody wanted it to end early (Ctrl-C, SIGTERM)."""
        return self.ended_by == "interrupt"

    @property
    def ok(self) -> bool:
        """Nothing found and not interrupted: the exit code is 0.  A worker that hung is a finding."""
        return not self.findings and not self.interrupted

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return FOUND if self.findings else INTERRUPTED if self.interrupted else NOTHING_FOUND

    def of(self, worker: str) -> Outcome:
        """The outcome of one worker by its name ``role#index``.  KeyError when there is none."""
        for outcome in self.outcomes:
            if outcome.worker == worker:
                return outcome
        raise KeyError(worker)

    def values(self, role: str = "") -> list[Any]:
        """What the workers (of one role, or all) sent, in the order of arrival."""
        return [p.value for p in self.payloads if role in ("", p.worker.split("#")[0])]


class Progress(Record, frozen=True, kw_only=True):
    """A look at a run that goes on."""

    elapsed_s: float
    steps: int
    epoch: int
    state: str  # running, parking, audit, ending
    workers: int  # alive, services included
    findings: int
    notices: int = 0
