"""What a killed holder costs the one who waits, and who gets how much where many want the same lock.

A holder is killed while another process waits: from just before the kill to the moment at which that one
has the lock, both on the arena's exact clock.  The share of a process is its part of the holds divided by
an equal part: 1 is fair, 0 is starved.
"""

import os
import signal
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray
from statistics import quantiles
from time import monotonic, sleep
from typing import Any

import multiprocess

import harness.locks  # noqa: F401 - arenas learn to make locks
from bench.common import Plan, Row, run
from harness import errors
from harness.shm.arena import Arena

CONTEXT = multiprocess.get_context("fork")
KILLS = 200
SHARE_S = 3.0
LIMIT_S = 60.0
WAITED_S = 0.005  # before the kill: the waiter sleeps
WAYS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {  # holder, waiter
    "mutex": (lambda m, _: m.acquire(), lambda m, _: m.acquire()),
    "writer": (lambda _, wide: wide.write(), lambda _, wide: wide.read()),
    "reader": (lambda _, wide: wide.read(), lambda _, wide: wide.write()),
}


def started(body: Callable[..., None], *args: Any) -> Any:
    """A process that runs ``body``."""
    process = CONTEXT.Process(target=body, args=args, daemon=True)
    process.start()
    return process


def ended(process: Any, what: str) -> None:
    """Wait for its end."""
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{what} did not end within {LIMIT_S:g} s")


def holder(arena: Arena, way: str, held: Any) -> None:
    """Take it and keep it."""
    arena.native.sit("holder")
    WAYS[way][0](arena.mutex("killed"), arena.rwlock("killed wide"))
    held.release()
    signal.pause()


def waiter(arena: Arena, way: str, comes: Any, got: Any) -> None:
    """Wait for it, note when, leave everything as good as new."""
    arena.native.sit("waiter")
    locks = arena.mutex("killed"), arena.rwlock("killed wide")
    mine = locks[way != "mutex"]
    comes.release()
    try:
        WAYS[way][1](*locks)
        got[0] = arena.native.exact_now()
    except errors.OwnerDied:
        got[0] = arena.native.exact_now()
        mine.recover()
    mine.release()


def killed(arena: Arena, way: str) -> float:
    """Milliseconds from the kill to the next who has it."""
    held, comes, got = CONTEXT.Semaphore(0), CONTEXT.Semaphore(0), RawArray("Q", 1)
    first = started(holder, arena, way, held)
    if not held.acquire(timeout=LIMIT_S):
        raise TimeoutError(f"the holder had nothing after {LIMIT_S:g} s")
    second = started(waiter, arena, way, comes, got)
    if not comes.acquire(timeout=LIMIT_S):
        raise TimeoutError(f"the waiter did not come within {LIMIT_S:g} s")
    sleep(WAITED_S)
    at = arena.native.exact_now()
    os.kill(first.pid, signal.SIGKILL)
    ended(second, "the waiter")
    ended(first, "the holder")
    return float(got[0] - at) / 1e6


def recovery(arena: Arena, plan: Plan) -> list[Row]:
    """Median and p99 for each kind of holder."""
    rows = []
    for way, limit in (("mutex", 1), ("writer", 5), ("reader", 5)):
        found = [killed(arena, way) for _ in range(plan.count(KILLS, 3))]
        parts = quantiles(found, n=100, method="inclusive")
        rows += [
            Row(f"killed {way} to next acquirer, median", parts[49], "ms"),
            Row(f"killed {way} to next acquirer, p99", parts[98], "ms", f"<= {limit}"),
        ]
    return rows


def member(arena: Arena, write: bool, at: int, counts: Any, stop: Any) -> None:
    """Take it again and again."""
    wide = arena.rwlock("shared")
    take = wide.write if write else wide.read
    while not stop[0]:
        take()
        counts[at] += 1
        wide.release()


def share(arena: Arena, seconds: float, one_writes: bool) -> float:
    """One process of one kind beside three of the other: its part, 1 = an equal one."""
    counts, stop = RawArray("Q", 4), RawArray("B", 1)
    crew = [started(member, arena, one_writes == (i == 0), i, counts, stop) for i in range(4)]
    end = monotonic() + LIMIT_S
    while not sum(counts) and monotonic() < end:
        sleep(0.001)
    before = list(counts)
    sleep(seconds)
    holds = [now - then for now, then in zip(counts, before, strict=True)]
    stop[0] = 1
    for process in crew:
        ended(process, "a process in its loop")
    return float(4 * holds[0] / max(1, sum(holds)))


def measure(plan: Plan) -> list[Row]:
    """All rows."""
    seconds = SHARE_S * max(0.05, plan.scale)
    with Arena.create("recovery", seats=64) as arena:
        arena.mutex("killed"), arena.rwlock("killed wide"), arena.rwlock("shared")
        return [
            *recovery(arena, plan),
            Row(
                "1 reader beside 3 writers: share",
                share(arena, seconds, False),
                "of an equal part",
                ">= 0.25",
            ),
            Row(
                "1 writer beside 3 readers: share", share(arena, seconds, True), "of an equal part", ">= 0.25"
            ),
        ]


if __name__ == "__main__":
    run("bench_recovery", measure, __doc__)
