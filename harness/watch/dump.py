"""A finding as one file: built in the order that disturbs least, written atomically.

First the arena and /proc (nobody notices), the program's own sections among them, then psutil, then the
stack signals.  After the signals the suspects are looked at again: if one of them moved, the dump says that
looking may have cured it.
"""

import contextlib
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness.errors import BadInput
from harness.locks import order
from harness.shm.arena import Arena
from harness.watch import renderers, stacks
from harness.watch.causes import cause_of
from harness.watch.explain import lines_of, summary_of
from harness.watch.records import SCHEMA, Dump, EdgeFact, ProcessFact, RunMeta, SeatFacts, Snapshot, Suspicion
from harness.watch.snapshot import Reader, events_of

PATIENCE_S = (
    1.0  # on a crowded machine a thread that runs may not get to its signal for long; of all together
)


class DumpError(BadInput):
    """A dump cannot be read or written."""


def build(
    reader: Reader, snapshot: Snapshot, suspicion: Suspicion, meta: RunMeta, with_stacks: bool = True
) -> Dump:
    """Everything a stranger needs, from a snapshot and what is suspected in it."""
    now = reader.native.exact_now()
    by_number = {int(seat.number): seat for seat in reader.live()}
    threads = [
        msgspec.structs.replace(
            seat,
            events=events_of(reader, by_number[seat.number], now),
            claims=[
                msgspec.structs.replace(claim, word=reader.word_name(claim.address)) for claim in seat.claims
            ],
        )
        if seat.number in by_number
        else seat
        for seat in snapshot.seats
    ]
    cause = cause_of(msgspec.structs.replace(snapshot, seats=threads), suspicion)
    dump = Dump(
        verdict=suspicion.verdict,
        summary=summary_of(snapshot, suspicion, cause),
        cause=cause,
        cycle=suspicion.lines or lines_of(snapshot, suspicion),
        threads=threads,
        involved=suspicion.seats,
        order=_order(reader.arena),
        arena=snapshot.arena,
        seed=meta.seed,
        scenario=meta.scenario,
        reproduce=meta.reproduce,
        versions=_versions() | meta.extra,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        taken_ns=now,
    )
    found, failed = renderers.sections(reader.arena, dump)
    processes = [fact for pid in sorted({seat.pid for seat in threads}) if (fact := _process(pid))]
    notes: list[str] = []
    if with_stacks:
        threads, notes = _add_stacks(threads, suspicion, by_number)
    return msgspec.structs.replace(
        dump, threads=threads, sections=found, processes=processes, notes=notes + failed
    )


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
        versions=_versions() | meta.extra,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _add_stacks(
    threads: list[SeatFacts], suspicion: Suspicion, by_number: dict[int, Any]
) -> tuple[list[SeatFacts], list[str]]:
    """Signals last.  The suspects' wait sequences are compared across them."""
    before = {n: by_number[n].wait_seq for n in suspicion.seats if n in by_number}
    found = []
    end = time.monotonic() + PATIENCE_S
    for facts in threads:
        seat = by_number.get(facts.number)
        left = max(stacks.WAIT_S, end - time.monotonic())
        stack = stacks.of_seat(seat, facts.state, left) if seat is not None and not facts.dead else []
        found.append(msgspec.structs.replace(facts, stack=stack))
    moved = [n for n, seq in before.items() if by_number[n].wait_seq != seq]
    # A report's thread goes on by itself; only a waiter that moved was cured by looking.
    if moved and suspicion.report < 0:
        return found, [f"cured_by_probe: seat {moved[0]} went on after its stack was taken"]
    return found, []


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


def _order(arena: Arena) -> list[EdgeFact]:
    return [
        EdgeFact(
            before=edge.before,
            after=edge.after,
            before_site=_site(edge.before_site),
            after_site=_site(edge.after_site),
        )
        for edge in order.edges(arena)
    ]


def _site(site: tuple[str, int, str]) -> str:
    return f"{site[0]}:{site[1]} {site[2]}"


def _versions() -> dict[str, str]:
    try:
        own = metadata.version("hangdog")
    except metadata.PackageNotFoundError:
        own = "unknown"
    return {"hangdog": own, "python": platform.python_version(), "kernel": platform.release()}


def write(path: Path, dump: Dump) -> Path:
    """Write the whole file or nothing.  DumpError names the path and the reason."""
    data = msgspec.json.format(msgspec.json.encode(dump), indent=1)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".dump-")
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
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
