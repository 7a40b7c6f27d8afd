"""From the last edge of a deadlock to the verdict, and to the dump on disk.

Eight processes hold a lock each and then ask for the next one's: the last to ask closes the circle.
Its wait says when that was (the arena's exact clock), and the same clock says when the watchdog has the
verdict, when the dump is on disk, and when the stacks of all threads are in it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import multiprocess

from bench.common import Plan, Row, run
from harness.outcome import Finding
from harness.shm.arena import Arena
from harness.watch import stacks
from harness.watch.watchdog import Watchdog

CONTEXT = multiprocess.get_context("fork")
WORKERS = 8
TRIALS = 30
LIMIT_S = 60.0


def member(arena: Arena, number: int, held: Any, go: Any) -> None:
    """Hold one lock, wait until all do, ask for the next one's: for ever."""
    arena.native.sit(f"member#{number}")
    stacks.enable(arena)
    locks = [arena.mutex("ring", i, nest=True) for i in range(WORKERS)]
    locks[number].acquire()
    held.release()
    go.wait()
    locks[(number + 1) % WORKERS].acquire()


@contextmanager
def ring(arena: Arena) -> Iterator[Any]:
    """The processes, each with its lock; set the event to close the circle."""
    held, go = CONTEXT.Semaphore(0), CONTEXT.Event()
    crew = [CONTEXT.Process(target=member, args=(arena, i, held, go), daemon=True) for i in range(WORKERS)]
    for process in crew:
        process.start()
    try:
        for _ in crew:
            if not held.acquire(timeout=LIMIT_S):
                raise TimeoutError(f"a process took no lock within {LIMIT_S:g} s")
        yield go
    finally:
        end(crew)


def end(crew: list[Any]) -> None:
    """All are killed before the first is waited for: none learns that a holder has died."""
    for process in crew:
        process.kill()
    for process in crew:
        process.join(LIMIT_S)


def deadlocks(watchdog: Watchdog) -> list[Finding]:
    """What it has called one."""
    return [found for found in watchdog.findings if found.verdict == "deadlock"]


def trial(folder: Path, busy: int = 0) -> tuple[float, float, float]:
    """(verdict, dump on disk, dump with all stacks on disk) in ms after the last edge."""
    with Arena.create("latency", size=1 << 16, seats=64) as arena:
        for i in range(WORKERS):
            arena.mutex("ring", i, nest=True)
        watchdog = Watchdog(arena, folder)
        with crowd(busy), ring(arena) as go:
            arena.native.leave()
            go.set()
            end = monotonic() + LIMIT_S
            # The order checker may report the ring before it hangs: what is timed is the deadlock.
            watchdog.run(lambda: bool(deadlocks(watchdog)) or monotonic() > end)
            whole = arena.native.exact_now()
            if not deadlocks(watchdog):
                raise TimeoutError(f"no deadlock was reported within {LIMIT_S:g} s")
            seats = [seat for seat in watchdog.reader.seats if seat.live == 2]
            closed = max(int(seat.wait_since) for seat in seats)
        found = deadlocks(watchdog)[0]
        return found.detected_after_s * 1e3, found.dumped_after_s * 1e3, (whole - closed) / 1e6


@contextmanager
def crowd(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""

    def compute() -> None:
        while os.getppid() != 1:
            pass

    crew = [CONTEXT.Process(target=compute, daemon=True) for _ in range(count)]
    for process in crew:
        process.start()
    try:
        yield
    finally:
        end(crew)


def rows(name: str, found: list[tuple[float, float, float]], verdict: str, dump: str) -> list[Row]:
    """Medians and the worst of some trials."""
    verdicts, dumps, whole = zip(*found, strict=True)
    return [
        Row(f"{name}: last edge to verdict, median", median(verdicts), "ms", verdict),
        Row(f"{name}: last edge to verdict, worst", max(verdicts), "ms"),
        Row(f"{name}: last edge to dump on disk, median", median(dumps), "ms", dump),
        Row(f"{name}: last edge to dump on disk, worst", max(dumps), "ms"),
        Row(f"{name}: last edge to all stacks in it, median", median(whole), "ms"),
    ]


def measure(plan: Plan) -> list[Row]:
    """All rows."""
    trials = plan.count(TRIALS)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        alone = [trial(where) for _ in range(trials)]
        crowded = [trial(where, busy=20) for _ in range(plan.count(TRIALS // 3))]
    return rows("8 workers", alone, "<= 8", "<= 40") + rows("beside 20 busy processes", crowded, "", "<= 100")


if __name__ == "__main__":
    run("bench_latency", measure, __doc__)
