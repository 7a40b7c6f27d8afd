"""What came of a run: frozen records, one per worker, nothing summed up away.

Guarantees: every worker that was to be started has exactly one outcome; all records
are plain data (msgspec: JSON in both directions, pickle, equality).  Times are
seconds.  Refuses nothing: a result may be partial (``ended_by`` says why).
"""

from typing import Any

import msgspec

from harness.errors import FoundProblems

NOTHING_FOUND, FOUND, HARNESS_FAILED, INTERRUPTED = 0, 1, 3, 130  # exit codes of the command line
SHORT = 230  # characters; pytest shows 240 of a value before it cuts


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base: immutable, by keyword."""


class Worker(Record, frozen=True, kw_only=True, tag_field="outcome"):
    """What is known of any worker when it is over: the fields of every outcome.

    ``worker``: its name, role#index; ``role``; ``index``: from 0, within the role.
    ``service``: its life was not the run's purpose (see RoleSpec).
    ``pid``: of its process, 0: it was never started; ``tid``: of its thread; ``seat``: its number in
    the arena, 0: it never had one.
    ``steps``: operations completed.  ``where``: the last known place, "file:line function", or the
    operation that it was in.
    """

    worker: str
    role: str
    index: int = 0
    service: bool = False
    pid: int = 0
    tid: int = 0
    seat: int = 0
    steps: int = 0
    where: str = ""


class Passed(Worker, frozen=True, kw_only=True, tag="passed"):
    """It returned.  Fields: those of every outcome (Worker)."""


class Failed(Worker, frozen=True, kw_only=True, tag="failed"):
    """An exception ended it.

    ``error``: the name of its class; ``text``: its message; ``traceback``: as text.
    ``verdict``: that of the exception's class; empty: it has none.
    ``exhausted``: a table or the memory of the system under test was full.  The rest: see Worker.
    """

    error: str
    text: str
    traceback: str
    verdict: str = ""
    exhausted: bool = False


class Crashed(Worker, frozen=True, kw_only=True, tag="crashed"):
    """It died by itself: a signal that hangdog did not send, or an end that it did not report.

    ``signal``: its number, 0: none; ``exit_code``: of the process, where there was no signal.
    ``program``: it replaced itself by ``exec`` of that file; its process may have gone on.
    The rest: see Worker.
    """

    signal: int = 0
    exit_code: int = 0
    program: str = ""


class Hung(Worker, frozen=True, kw_only=True, tag="hung"):
    """It was told to end and did not, or was part of a hang that was found.

    ``verdict``: of the finding that names it.  The rest: see Worker.
    """

    verdict: str = ""


class Killed(Worker, frozen=True, kw_only=True, tag="killed"):
    """The supervisor ended it on purpose.

    ``why``: "fault injection", "end of the run", ...  The rest: see Worker.
    """

    why: str


Outcome = Passed | Failed | Crashed | Hung | Killed


class Finding(Record, frozen=True, kw_only=True):
    """One thing that went wrong.

    ``id``: its number within the run, from 1.  ``verdict``: what it is called (docs/verdicts.md).
    ``summary``: one sentence.  ``dump``: path of the file with everything, empty: there is none;
    ``text``: the dump for reading, where there is no file.
    ``detected_after_s``: seconds from its happening to its being written down, as far as that is known;
    ``dumped_after_s``: until its dump was on disk, still without stacks.
    ``at_s``: seconds since the workers were let go.  ``reproduce``: a command.
    ``seats``, ``workers``: who takes part, by number and by name.
    ``ends``: how those ended that are dead, by seat, as far as the summary says it.
    ``notice``: told at once with its evidence, but not proved; it counts for nothing.  When it still holds
    after the limit, or at the end, another one is written with the same ``key`` that is no notice.
    ``key``: the same trouble has the same key.
    """

    id: int
    verdict: str
    summary: str
    dump: str = ""
    text: str = ""
    detected_after_s: float = 0.0
    dumped_after_s: float = 0.0
    at_s: float = 0.0
    reproduce: str = ""
    seats: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()
    ends: dict[int, str] = {}
    notice: bool = False
    key: str = ""


class Payload(Record, frozen=True, kw_only=True):
    """Something that a worker sent with WorkerContext.send().

    ``worker``: its name, role#index; ``value``: what it sent.
    """

    worker: str
    value: Any


class RunResult(Record, frozen=True, kw_only=True):
    """What came of a run, whole or partial.

    ``outcomes``: Passed, Failed, Crashed, Hung or Killed, one of each worker, in the order of the roles.
    ``findings``: what went wrong.  ``notices``: reported with evidence but not proved; ``ok`` ignores them.
    ``limits``: seconds of watched time after which a state is reported, by name (see Limits).
    ``incidents``: what happened outside the plan, in order, one sentence each.
    ``payloads``: what the workers sent, in the order of arrival; ``values()`` gives it without the names.
    ``audits``: what each audit returned.  ``epochs``: completed, with their audit.
    ``steps``: operations completed, of all workers.
    ``duration_s``: seconds from go to the last worker's end, without those in which the run was stopped.
    ``ended_by``: done, finding, time limit, interrupt.  ``seed``, ``mode``: those of the Session.

    ``assert result.ok, result`` says in pytest what was found; ``raise_for_findings()`` says all of it.
    """

    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...] = ()
    notices: tuple[Finding, ...] = ()
    limits: dict[str, float] = {}
    incidents: tuple[str, ...] = ()
    payloads: tuple[Payload, ...] = ()
    audits: tuple[Any, ...] = ()
    epochs: int = 0
    steps: int = 0
    duration_s: float = 0.0
    ended_by: str = "done"
    seed: int = 0
    mode: str = "process"

    def __repr__(self) -> str:
        """One line of at most SHORT characters: pytest cuts the middle out of what is longer."""
        return f"<RunResult {self._said(SHORT - len('<RunResult >'))}>"

    def __str__(self) -> str:
        """One line of at most SHORT characters: how many findings, the first one, and its dump."""
        return self._said(SHORT)

    def _said(self, room: int) -> str:
        if not self.findings:
            steps = f"{self.steps} step{'s' * (self.steps != 1)}"
            return f"ended by {self.ended_by}: found nothing in {steps} and {self.duration_s:.1f} s"
        first, count = self.findings[0], len(self.findings)
        head = f"{count} finding{'s' * (count != 1)}: {first.verdict}: "
        tail = f" ({_shortened(first.dump, room // 3, at_end=False)})" if first.dump else ""
        return head + _shortened(first.summary, room - len(head) - len(tail)) + tail

    def raise_for_findings(self) -> "RunResult":
        """FoundProblems, with every finding in its text, when there are findings; else this result.

        Where a finding has no dump on disk, what would be in it follows: the threads, their lines and stacks.
        """
        if not self.findings:
            return self
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.verdict}: {finding.summary}")
            lines += [f"  dump: {finding.dump}"] if finding.dump else finding.text.splitlines()[2:]
        remedy = next((finding.reproduce for finding in self.findings if finding.reproduce), "")
        raise FoundProblems("\n".join(lines + ([f"try: {remedy}"] if remedy else [])), self, remedy)

    @property
    def interrupted(self) -> bool:
        """It was ended early from outside: Ctrl-C, SIGTERM."""
        return self.ended_by == "interrupt"

    @property
    def ok(self) -> bool:
        """Nothing found and not interrupted: the exit code is 0.  A worker that hung is a finding."""
        return not self.findings and not self.interrupted

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 nothing found, 1 findings, 130 interrupted."""
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


def _shortened(text: str, room: int, at_end: bool = True) -> str:
    """The text in one line, cut to ``room`` characters at its end, or at its beginning."""
    line = " ".join(text.split())
    if len(line) <= room:
        return line
    return line[: room - 3] + "..." if at_end else "..." + line[3 - room :]


class Progress(Record, frozen=True, kw_only=True):
    """A look at a run that goes on.

    ``elapsed_s``: seconds since the workers were released from the start;
    ``steps``: operations completed so far;
    ``epoch``: completed ones; ``state``: running, parking, audit, ending.
    ``workers``: how many are alive, services included; ``findings``, ``notices``: how many so far.
    """

    elapsed_s: float
    steps: int
    epoch: int
    state: str
    workers: int
    findings: int
    notices: int = 0
