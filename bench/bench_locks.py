"""Cost of the tracked lock, beside the standard library's, in the same run.

Tracked means all of it: owner, since when, acquisition site, held stack, lock order, owner
death.  There is no lock with less.  The flight recorder, which can be switched off, has
rows of its own.  A ratio is the median over rounds that alternate.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from statistics import median
from threading import Lock as ThreadingLock
from typing import Any

import multiprocess

from bench.common import Plan, Row, in_turn, median_ratios, run
from harness import probe
from harness.locks import LockClass
from harness.shm.arena import Arena

PASSES = 100_000
CONTEXT = multiprocess.get_context("fork")  # named: the default differs between versions


def with_lock(lock: Any, passes: int) -> Callable[[], float]:
    """Nanoseconds per ``with lock: pass``, the loop included (about 10 ns, the same for all)."""

    def once() -> float:
        before = time.perf_counter_ns()
        for _ in repeat(None, passes):
            with lock:
                pass
        return (time.perf_counter_ns() - before) / passes

    return once


def call(function: Callable[[], object], passes: int) -> Callable[[], float]:
    """Nanoseconds per call."""

    def once() -> float:
        before = time.perf_counter_ns()
        for _ in repeat(None, passes):
            function()
        return (time.perf_counter_ns() - before) / passes

    return once


def uncontended(arena: Arena, plan: Plan) -> list[Row]:
    """One thread alone: the price that every program pays."""
    passes = plan.count(PASSES)
    tracked = with_lock(arena.mutex("bench"), passes)
    found = in_turn(
        {
            "tracked": tracked,
            "recorded": recorded(arena, tracked),
            "multiprocess": with_lock(CONTEXT.Lock(), passes),
            "threading": with_lock(ThreadingLock(), passes),
        },
        plan.count(21, 3),
    )
    plain, thread = found["multiprocess"], found["threading"]
    return [
        Row("with: tracked (cannot be less)", median(found["tracked"]), "ns"),
        Row("with: tracked and recorded", median(found["recorded"]), "ns"),
        Row("with: multiprocess.Lock", median(plain), "ns"),
        Row("with: threading.Lock", median(thread), "ns"),
        Row("with: tracked / multiprocess.Lock", median_ratios(plain, found["tracked"]), "ratio", "<= 0.48"),
        Row(
            "with: tracked and recorded / multiprocess.Lock", median_ratios(plain, found["recorded"]), "ratio"
        ),
        Row("with: tracked / threading.Lock", median_ratios(thread, found["tracked"]), "ratio", "<= 0.65"),
    ]


# --- two processes that want the same lock


def contender(lock: Any, pipe: Any) -> None:
    """Take the lock as often as possible between two moments, and at least once; say how often.

    A process that gets no processor in that time is late: none at all would be no rate to divide by.
    """
    while (order := pipe.recv()) is not None:
        start, end = order
        passes = 0
        while time.monotonic() < start:
            pass
        while not passes or time.monotonic() < end:
            for _ in repeat(None, 100):  # the clock is read rarely, or it would be what we measure
                with lock:
                    pass
            passes += 100
        pipe.send(passes)


@contextmanager
def contenders(lock: Any, count: int) -> Iterator[Callable[[float], int]]:
    """``count`` processes; the function given lets them all run for so many seconds and sums up."""
    pipes, members = [], []
    for _ in range(count):
        ours, theirs = CONTEXT.Pipe()
        member = CONTEXT.Process(target=contender, args=(lock, theirs), daemon=True)
        member.start()
        theirs.close()
        pipes.append(ours)
        members.append(member)

    def throughput(seconds: float) -> int:
        start = time.monotonic() + 0.005
        for pipe in pipes:
            pipe.send((start, start + seconds))
        return sum(pipe.recv() for pipe in pipes)

    try:
        yield throughput
        for pipe in pipes:
            pipe.send(None)
        for member in members:
            member.join(5)
    finally:
        for member in members:
            member.kill()
            member.join()


def contended(arena: Arena, plan: Plan) -> list[Row]:
    """Two processes, one lock, nothing inside: throughput of both together."""
    seconds = 0.25 * max(0.1, plan.scale)
    ours, theirs = arena.mutex("bench contended"), CONTEXT.Lock()
    with contenders(ours, 2) as tracked, contenders(theirs, 2) as plain:
        found = in_turn(
            {"tracked": lambda: tracked(seconds) / seconds, "multiprocess": lambda: plain(seconds) / seconds},
            plan.count(15, 3),
        )
    return [
        Row("contended, 2 processes: tracked", median(found["tracked"]), "locks/s"),
        Row("contended, 2 processes: multiprocess.Lock", median(found["multiprocess"]), "locks/s"),
        Row(
            "contended, 2 processes: tracked / multiprocess.Lock",
            median_ratios(found["multiprocess"], found["tracked"]),
            "ratio",
            ">= 1.4",
        ),
    ]


# --- what each feature adds


def recorded(arena: Arena, measure: Callable[[], float]) -> Callable[[], float]:
    """The same with the flight recorder on."""

    def once() -> float:
        probe.record(arena, True)
        try:
            return measure()
        finally:
            probe.record(arena, False)

    return once


def features(arena: Arena, plan: Plan) -> list[Row]:
    """Differences between rounds with and without; a negative one is noise and says so by its size."""
    passes, rounds = plan.count(PASSES), plan.count(21, 3)
    outer = arena.mutex("bench outer")
    plain = with_lock(arena.mutex("bench"), passes)

    def nested() -> float:
        with outer:
            return plain()

    found = in_turn({"plain": plain, "recorded": recorded(arena, plain), "nested": nested}, rounds)
    return [
        Row("feature: flight recorder", difference(found, "recorded", "plain"), "ns"),
        Row("feature: lock order, one lock held", difference(found, "nested", "plain"), "ns"),
        *operations(arena, passes, rounds),
    ]


def difference(found: dict[str, list[float]], more: str, less: str) -> float:
    """Median over the rounds of what one costs beyond the other."""
    return median(a - b for a, b in zip(found[more], found[less], strict=True))


def operations(arena: Arena, passes: int, rounds: int) -> list[Row]:
    """Other things one can do with the locks."""
    lock, taken, wide = arena.mutex("bench"), arena.mutex("bench outer"), arena.rwlock("bench rwlock")

    def read() -> None:
        wide.read()
        wide.release()

    def write() -> None:
        wide.write()
        wide.release()

    def pair() -> None:
        lock.acquire()
        lock.release()

    with taken:
        found = in_turn({"holder()": call(taken.holder, passes // 4)}, rounds)
    found |= in_turn(
        {
            "acquire() + release()": call(pair, passes // 4),
            "read() + release()": call(read, passes // 4),
            "write() + release()": call(write, passes // 4),
        },
        rounds,
    )
    return [Row(f"call: {name}", median(values), "ns") for name, values in found.items()]


def measure(plan: Plan) -> list[Row]:
    """Every row."""
    with Arena.create("bench_locks") as arena:
        # "bench" may be taken under "bench outer", which is what one of the rows measures.
        LockClass("bench outer", rank=1).declare(arena)
        LockClass("bench", rank=2).declare(arena)
        probe.record(arena, False)
        return [*uncontended(arena, plan), *contended(arena, plan), *features(arena, plan)]


if __name__ == "__main__":
    run("bench_locks", measure, __doc__)
