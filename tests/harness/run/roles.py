"""Roles that several tests use; in a module of their own, so that a spawned supervisor can import them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.run import WorkerContext
from harness.run.barrier import Barrier

LIMITS_S = (0.5, 2.0, 8.0, 32.0)


def turn_until_told(context: WorkerContext) -> None:
    while not context.should_stop():
        with context.step("turn"):
            pass


def until_enough(run: Callable[[float], Any], enough: Callable[[Any], Any]) -> Any:
    """The first result of ``run(time limit)`` in which enough happened, or that of the longest.

    How much happens within a time is the scheduler's choice: what is said of the result must hold of
    every one with enough in it.
    """
    result = None
    for limit_s in LIMITS_S:
        result = run(limit_s)
        if enough(result):
            break
    return result


def die(context: WorkerContext, number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def spin_until(condition: Callable[[], Any]) -> None:
    """Without a limit: the session has one, and a worker that hangs here is reported as hung."""
    while not condition():
        os.sched_yield()


def cross(context: WorkerContext) -> None:
    """Two workers take two locks in opposite order, each when the other surely has its first."""
    first, second = (context.arena.mutex(name) for name in ("ab" if context.index == 0 else "ba"))
    with context.step("cross"), first:
        spin_until(second.locked)
        with second:
            pass


def rows(context: WorkerContext) -> list[Any]:
    return Barrier(context.arena).rows


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
