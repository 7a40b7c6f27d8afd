"""A finding as one file: built in the order that disturbs least, written atomically.

First the arena and /proc (no thread notices), the program's own sections among them, then psutil, then the
stack signals.  After the signals the suspects are looked at again: if one of them moved, the dump says that
looking may have cured it.
"""

import contextlib
import functools
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from harness.errors import BadInput
from harness.locks import order
from harness.watch import stacks
from harness.watch.causes.causes import cause_of
from harness.watch.records import SCHEMA, Dump, ProcessFact, RunMeta, SeatFacts, Snapshot, Suspicion
from harness.watch.render import sections
from harness.watch.render.sentences import lines_of, place_of, summary_of
from harness.watch.snapshot import Reader, events_of

HOLDING = ("deadlock", "self_deadlock", "orphaned_lock")  # whose summaries name what is held


class DumpError(BadInput):
    """A dump cannot be read or written."""


def build(
    reader: Reader, snapshot: Snapshot, suspicion: Suspicion, meta: RunMeta, with_stacks: bool = True
) -> Dump:
    """Everything that a reader needs, from a snapshot and what is suspected in it."""
    dump = sketch(reader, snapshot, suspicion, meta)
    if not with_stacks:
        facts = [_process(pid) for pid in _pids([dump])]
        return msgspec.structs.replace(dump, processes=[fact for fact in facts if fact])
    probe = Probe(reader, [(dump, suspicion)])
    probe.wait()
    return probe.add(dump, suspicion)


def sketch(reader: Reader, snapshot: Snapshot, suspicion: Suspicion, meta: RunMeta) -> Dump:
    """The same without what takes time: facts about processes, and stacks; see ``Probe``."""
    now = reader.native.exact_now()
    threads = enrich_threads(reader, snapshot, now)
    cause = cause_of(msgspec.structs.replace(snapshot, seats=threads), suspicion)
    dump = Dump(
        verdict=suspicion.verdict,
        summary=summary_of(threads, suspicion, cause),
        cause=cause,
        cycle=suspicion.lines or lines_of(snapshot, suspicion),
        threads=threads,
        involved=suspicion.seats,
        witnesses=witnesses_of(snapshot, suspicion),
        details=suspicion.details,
        places=places_of(snapshot, suspicion),
        order=order.edges(reader.arena),
        arena=snapshot.arena,
        seed=meta.seed,
        scenario=meta.scenario,
        reproduce=meta.reproduce,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        taken_ns=now,
    )
    found, failed = sections.sections(reader.arena, dump)
    return msgspec.structs.replace(dump, sections=found, notes=failed)


def enrich_threads(reader: Reader, snapshot: Snapshot, now: int) -> list[SeatFacts]:
    """The snapshot's threads with their last events and the names of the words that they claim."""
    rows = {int(seat.number): seat for seat in reader.live()}
    return [
        msgspec.structs.replace(
            seat,
            events=events_of(reader, rows[seat.number], now),
            claims=[
                msgspec.structs.replace(claim, word=reader.word_name(claim.address)) for claim in seat.claims
            ],
        )
        if seat.number in rows
        else seat
        for seat in snapshot.seats
    ]


def places_of(snapshot: Snapshot, suspicion: Suspicion) -> list[int]:
    """Offsets of the locks and words that the summary is about."""
    if suspicion.report is not None:
        return [at for at in (suspicion.report.held_lock, suspicion.report.wanted_lock) if at]
    found: dict[int, None] = {}
    for seat in snapshot.seats:
        if seat.number not in suspicion.seats:
            continue
        if suspicion.verdict in HOLDING:
            found |= dict.fromkeys(held.offset for held in seat.held)
        if seat.wait and seat.wait.kind != "join":
            found |= dict.fromkeys((seat.wait.offset, seat.wait.address))
        if seat.polled:
            found[seat.polled.offset] = None
    return [at for at in found if at]


def witnesses_of(snapshot: Snapshot, suspicion: Suspicion) -> list[int]:
    """Seats of the threads that changed what those wait for who are involved, and are still there."""
    changes = [
        seat.wait.changed
        for seat in snapshot.seats
        if seat.number in suspicion.seats and seat.wait and seat.wait.changed
    ]
    return [seat.number for seat in snapshot.seats if any(change.id == seat.id for change in changes)]


def bare(snapshot: Snapshot, suspicion: Suspicion, meta: RunMeta, trouble: str) -> Dump:
    """What is left when ``build`` failed: the verdict and the snapshot."""
    return Dump(
        verdict=suspicion.verdict,
        summary=suspicion.why,
        cycle=suspicion.lines or lines_of(snapshot, suspicion),
        threads=snapshot.seats,
        involved=suspicion.seats,
        notes=[f"the rest of this dump could not be made: {trouble}"],
        arena=snapshot.arena,
        seed=meta.seed,
        scenario=meta.scenario,
        reproduce=meta.reproduce,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class Probe:
    """Facts about the processes of some dumps, and the stacks of their threads, asked for all at once.

    Signals come last.  The suspects' wait sequences are compared across the signals.
    ``poll`` waits for nothing and is True when all is there that will come; then ``add`` and ``close``.
    """

    def __init__(self, reader: Reader, made: list[tuple[Dump, Suspicion]]) -> None:
        self._facts = {pid: _process(pid) for pid in _pids([dump for dump, _ in made])}
        self._rows = {int(seat.number): seat for seat in reader.live()}
        suspects = {number for _, suspicion in made for number in suspicion.seats}
        self._before = {n: int(self._rows[n].wait_seq) for n in suspects if n in self._rows}
        states = {facts.number: facts.state for dump, _ in made for facts in dump.threads if not facts.dead}
        self._asking = stacks.ask([(self._rows[n], state) for n, state in states.items() if n in self._rows])
        self.poll, self.close, self.wait = self._asking.poll, self._asking.close, self._asking.wait

    def add(self, dump: Dump, suspicion: Suspicion) -> Dump:
        """One of the dumps, with what was found."""
        found = self._asking.found
        threads = [
            msgspec.structs.replace(facts, stack=found.get(facts.number, facts.stack))
            for facts in dump.threads
        ]
        moved = [
            n for n in suspicion.seats if n in self._before and self._rows[n].wait_seq != self._before[n]
        ]
        notes = list(dump.notes)
        # A report's thread goes on by itself; only a waiter that moved was cured by looking.
        if moved and suspicion.report is None:
            notes.insert(
                0,
                f"cured_by_probe: asking for its stack woke seat {moved[0]}: the wait may be a missed signal",
            )
        processes = [fact for pid in _pids([dump]) if (fact := self._facts[pid])]
        return msgspec.structs.replace(
            dump,
            summary=summary_of(
                dump.threads, suspicion, dump.cause, place_of(found.get(suspicion.holder, []))
            ),
            threads=threads,
            processes=processes,
            notes=notes,
        )


def _pids(dumps: list[Dump]) -> list[int]:
    """Whose facts can be had: the number of a process that is gone may be another's by now."""
    return sorted({seat.pid for dump in dumps for seat in dump.threads if seat.state != "-"})


def _process(pid: int) -> ProcessFact | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return ProcessFact(
                pid=pid,
                status=str(process.status()),
                cpu_s=times.user + times.system,
                rss_mb=process.memory_info().rss / 2**20,
                threads=process.num_threads(),
                files=process.num_fds(),
            )
    except (psutil.Error, OSError):
        return None


@functools.cache  # reading the metadata of a package takes 5 ms, which a verdict need not wait for
def versions() -> dict[str, str]:
    """Of what made the dump.  A watcher asks once before it begins."""
    try:
        own = metadata.version("hangdog")
    except metadata.PackageNotFoundError:
        own = "unknown"
    return {"hangdog": own, "python": platform.python_version(), "kernel": platform.release()}


def write(path: Path, dump: Dump, lasting: bool = True) -> Path:
    """Write the whole file or nothing.  DumpError names the path and the reason.

    ``lasting``: wait until it would survive a crash of the machine, too.
    """
    data = msgspec.json.format(msgspec.json.encode(dump), indent=1)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".dump-")
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                os.unlink(temporary)
        raise DumpError(
            f"cannot write dump {str(path)!r}: {error.strerror}", "hangdog run --dump-dir ."
        ) from None
    return path


def read(path: Path) -> Dump:
    """Read a dump.  DumpError when it is damaged, truncated, or of another schema."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DumpError(
            f"cannot read dump {str(path)!r}: {error.strerror}", "hangdog list scenarios"
        ) from None
    try:
        schema = msgspec.json.decode(data, type=dict).get("schema")
        if schema != SCHEMA:
            raise DumpError(f"{str(path)!r} has schema {schema!r}, this build reads {SCHEMA!r}")
        return msgspec.json.decode(data, type=Dump)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DumpError(
            f"dump {str(path)!r} is damaged ({len(data)} bytes): {error}", "hangdog list scenarios"
        ) from None
