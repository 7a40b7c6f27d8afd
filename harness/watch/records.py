"""What a watcher writes down: plain facts, and the dump that is made of them.

The dump is JSON (schema ``hangdog.dump/1``), one file, readable without the arena, the
extension or the program that hung.  Times are seconds; ``*_s`` are ages at the dump.
"""

import msgspec

from harness.locks.order import OrderEdge
from harness.locks.reports import Report
from harness.shm.facts import Details

SCHEMA = "hangdog.dump/1"


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, by keyword."""


class HeldFact(Frozen, frozen=True, kw_only=True):
    """A lock that a thread holds."""

    lock: str  # class[instance]
    lock_class: str
    offset: int
    mode: str  # "mutex", "read", "write"
    site: str  # file:line function
    held_for_s: float


class ChangeFact(Frozen, frozen=True, kw_only=True):
    """Who changed a word last."""

    seat: int
    id: int = 0  # of the thread that had the seat
    step: int = 0  # its ``steps`` when the step of the change has ended; 0: outside of any
    who: str  # role and pid
    age_s: float
    site: str
    outer: str  # the same moment in the file that called that one


class WaitFact(Frozen, frozen=True, kw_only=True):
    """What a thread waits for."""

    kind: str  # mutex, read, write, upgrade, sleep, idle, io, join, parked, reporting
    lock: str  # lock or channel, class[instance]; the role for a join
    lock_class: str = ""
    offset: int
    site: str
    waited_s: float
    timed: bool  # has a deadline: will end by itself
    wmesg: str = ""
    guard: int = 0  # offset of the lock, of either kind, that guards the predicate
    guard_name: str = ""
    guard_site: str = ""  # where it was taken last
    predicate: str = ""  # e.g. "word at 81920 == 0"
    address: int = 0  # of the predicate's word
    op: str = ""  # of the predicate
    wanted: int = 0  # the value that it is compared with
    value: int = 0  # its present value
    value_text: str = ""  # the same for reading
    holds: bool | None = None  # is the predicate true now?
    unwoken: bool = False  # no wakeup came since the sleeper looked
    last_waker: int = 0  # seat of the last wakeup on this channel, 0: never
    last_wake_s: float = 0.0
    last_wake_site: str = ""
    changed: ChangeFact | None = None  # the last change of the word, when the predicate is true
    returned: bool = False  # parked, and its role has: it goes on when all others have parked, or ends


class ClaimFact(Frozen, frozen=True, kw_only=True):
    """ "A thread that waits for the word at ``address`` waits for me"."""

    address: int
    word: str  # table[slot].field
    site: str
    for_s: float


class EventFact(Frozen, frozen=True, kw_only=True):
    """One event of a thread's flight recorder."""

    age_s: float
    kind: str
    what: str
    site: str
    offset: int = 0  # of the lock or channel


class PolledFact(Frozen, frozen=True, kw_only=True):
    """A lock that a thread tried and did not get, again and again."""

    lock: str
    offset: int
    polls: int
    for_s: float
    site: str


class LockFact(Frozen, frozen=True, kw_only=True):
    """Who has a lock: ids of threads (generation and seat), 0: none.  The dead are not among readers."""

    holder: int  # a mutex's holder, or a writer or upgrader that is inside
    claimer: int = 0  # a writer that is ahead in the queue and not inside
    turn: int = 0  # how often it was taken; a mutex only
    readers: list[int] = []


class SeatFacts(Frozen, frozen=True, kw_only=True):
    """One thread of execution."""

    number: int
    role: str
    pid: int
    tid: int
    id: int = 0  # of this thread alone; its seat's number is used again
    dead: bool
    ended: str = ""  # how, when it is dead and that is known
    tracer: int = 0  # pid of its debugger
    call: str = ""  # system call that it sits in, of a holder that does not wait for us
    state: str  # /proc state letter: R S D T Z; "-" unknown
    activity: str
    operation: str
    argument: int
    operation_for_s: float
    steps: int
    progress: int
    failures: int
    restarts: int = 0  # of the failures those that are for good: no poll, and not got after all
    spun: int = 0  # and those that a lock may still take back
    wait_seq: int
    torn: bool  # it moved while we read it
    held: list[HeldFact] = []
    wait: WaitFact | None = None
    claims: list[ClaimFact] = []
    polled: PolledFact | None = None
    events: list[EventFact] = []
    stack: list[str] = []

    @property
    def name(self) -> str:
        """Its role and process."""
        return f"{self.role} (pid {self.pid})"


class Snapshot(Frozen, frozen=True, kw_only=True):
    """Everything, at one moment."""

    taken_ns: int
    arena: str
    seats: list[SeatFacts]
    owners: dict[int, int] = {}  # mutex offset -> seat
    locks: dict[int, LockFact] = {}  # of all that are held, waited for, polled or guards
    outsiders: list[str] | None = None  # threads without a seat that have the arena; None: not counted
    closed: list[str] = []  # processes older than the arena that may not be looked at; with ``outsiders``
    notes: list[str] = []  # what could not be read
    earlier_boot: bool = False  # the arena is a file that was left over: every thread in it is dead
    providers: list[tuple[int, int]] = []  # (address, seat that serves it)


class ProcessFact(Frozen, frozen=True, kw_only=True):
    """What the system says of a process."""

    pid: int
    status: str
    cpu_s: float
    rss_mb: float
    threads: int
    files: int


class RunMeta(Frozen, frozen=True, kw_only=True):
    """Where a dump comes from and how to see it again."""

    seed: int = 0
    scenario: str = ""
    reproduce: str = ""


class Dump(Frozen, frozen=True, kw_only=True):
    """One finding, explained."""

    schema: str = SCHEMA
    verdict: str
    summary: str
    cause: str = ""  # the class of the mistake, as far as the arena shows it
    cycle: list[str]
    threads: list[SeatFacts]
    involved: list[int]  # seats of the cycle or the report
    witnesses: list[int] = []  # seats that the summary names beside them
    details: Details = Details()  # what the summary of a report is about, as data
    places: list[int] = []  # offsets of the locks and words that the summary is about
    order: list[OrderEdge] = []
    sections: dict[str, list[str]] = {}
    processes: list[ProcessFact] = []
    notes: list[str] = []
    arena: str = ""
    seed: int = 0
    scenario: str = ""
    reproduce: str = ""
    versions: dict[str, str] = {}
    created: str = ""
    taken_ns: int = 0  # the arena's clock at the look that all ages count from


class End(Frozen, frozen=True, kw_only=True):
    """How a process ended, told by the kernel: a signal or an exit code; ``program``: it went on as that."""

    signal: int = 0
    exit_code: int = 0
    program: str = ""


class Suspicion(Frozen, frozen=True, kw_only=True):
    """Something that looks wrong; ``certain`` once it is a finding, ``notice`` once it is worth a word.

    Neither: it needs another look, or more time.
    """

    verdict: str
    key: str  # the same trouble has the same key
    seats: list[int]
    holder: int = 0  # of a stall: the seat that all of them wait for; where it is belongs to the sentence
    why: str  # one sentence
    lines: list[str] = []  # the cycle in reading order
    certain: bool = False
    notice: bool = False
    at_end: bool = False  # worth a finding when it is still so at the end of the run
    report: Report | None = None  # that it comes from
    details: Details = Details()  # of a report, or of the error that ended a worker
    end: End | None = None  # of a process that died by itself
    ends: dict[int, str] = {}  # of dead seats: how they ended, as the sentence says it
    since_ns: int = 0  # when the last edge was closed
