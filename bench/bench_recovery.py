"""What a killed holder costs the one that waits, and how holds are shared where many want the same lock.

A holder is killed while another process waits: from just before the kill to the moment at which that one
has the lock, both on the arena's exact clock.  Beside it, in turn, the same with a robust pthread mutex of
libc: what the machine itself takes to end one process and to let another run.  With real-time priority,
where that is permitted: on a busy machine a process waits longer for its turn than the locks take.

The share of a process is its part of the holds divided by an equal part: 1 is fair, 0 is starved.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from statistics import quantiles
from time import monotonic, sleep
from typing import Any

import multiprocess

import harness.locks  # noqa: F401 - arenas learn to make locks
from bench.common import Plan, Row, in_turn, run
from harness import errors
from harness.shm.arena import Arena

CONTEXT = multiprocess.get_context("fork")
KILLS = 200
SHARE_S = 3.0
LIMIT_S = 60
WAITED_S = 0.005  # before the kill: the waiter sleeps
PRIORITY = 40
LIBC = ctypes.CDLL(None, use_errno=True)
PLAIN = RawArray("B", 64)  # a pthread_mutex_t
SHARED, ROBUST, OWNER_DEAD = 1, 1, 130  # PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST, EOWNERDEAD


def plain_made() -> None:
    """A robust mutex of libc, process-shared."""
    attributes = (ctypes.c_byte * 16)()
    LIBC.pthread_mutexattr_init(attributes)
    LIBC.pthread_mutexattr_setpshared(attributes, SHARED)
    LIBC.pthread_mutexattr_setrobust(attributes, ROBUST)
    LIBC.pthread_mutex_init(PLAIN, attributes)


def plain_taken() -> None:
    """Take it; a dead one's is repaired."""
    if LIBC.pthread_mutex_lock(PLAIN) == OWNER_DEAD:
        LIBC.pthread_mutex_consistent(PLAIN)
        raise errors.OwnerDied("the holder of the plain mutex")


WAYS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {  # holder, waiter
    "robust mutex of libc": (lambda *_: plain_taken(), lambda *_: plain_taken()),
    "mutex": (lambda m, _: m.acquire(), lambda m, _: m.acquire()),
    "writer": (lambda _, wide: wide.write(), lambda _, wide: wide.read()),
    "reader": (lambda _, wide: wide.read(), lambda _, wide: wide.write()),
}
LIMITS = {"mutex": 1, "writer": 5, "reader": 5}  # ms


@contextmanager
def in_real_time() -> Iterator[bool]:
    """Run within with real-time priority, and what is started there too; says whether that was permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


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
    signal.alarm(LIMIT_S)
    arena.native.sit("holder")
    WAYS[way][0](arena.mutex("killed"), arena.rwlock("killed wide"))
    held.release()
    signal.pause()


def waiter(arena: Arena, way: str, comes: Any, got: Any) -> None:
    """Wait for it, note when, leave everything as good as new."""
    signal.alarm(LIMIT_S)
    arena.native.sit("waiter")
    locks = arena.mutex("killed"), arena.rwlock("killed wide")
    comes.release()
    try:
        WAYS[way][1](*locks)
        got[0] = arena.native.exact_now()
    except errors.OwnerDied:
        got[0] = arena.native.exact_now()
        if way in LIMITS:
            locks[way != "mutex"].recover()
    if way in LIMITS:
        locks[way != "mutex"].release()
    else:
        LIBC.pthread_mutex_unlock(PLAIN)


def killed(arena: Arena, way: str) -> float:
    """Milliseconds from the kill to the next holder."""
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
    """Median and p99 for each kind of holder, in real time if permitted; then in the crowd."""
    rows: list[Row] = []
    for real_time in (True, False):
        if real_time:
            with in_real_time() as permitted:
                found = kills(arena, plan) if permitted else {}
        else:
            found = kills(arena, plan)
        judged = real_time or not rows  # a target is for real time where there is that
        for way, times in found.items():
            parts = quantiles(times, n=100, method="inclusive")
            what = f"killed {way} to next, {'real time' if real_time else 'in the crowd'}"
            limit = f"<= {LIMITS[way]}" if judged and way in LIMITS else ""
            rows += [Row(f"{what}: median", parts[49], "ms"), Row(f"{what}: p99", parts[98], "ms", limit)]
    return rows


def kills(arena: Arena, plan: Plan) -> dict[str, list[float]]:
    """Milliseconds of each kill, the kinds in turn."""
    return in_turn(
        {way: lambda way=way: killed(arena, way) for way in WAYS},  # type: ignore[misc]
        plan.count(KILLS, 3),
    )


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
        plain_made()
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
