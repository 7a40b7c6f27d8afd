"""Waits of tests: each has a deadline, and says what it waited for when it did not come.

LIMIT_S is far above what any of them takes on a loaded machine: it ends a test that hangs and
judges nothing.  It is shorter than a slice of the tests' arenas (tests/harness/conftest.py), so what only
the next slice repairs is a test that fails.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 50.0
PERIOD_S = 0.001


class TooLate(AssertionError):
    """What was waited for did not come."""


def wait_until(look: Callable[[], Any], what: str, limit: float = LIMIT_S) -> Any:
    """Poll until ``look()`` is true; its value."""
    deadline = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TooLate(f"{what} did not come within {limit:g} s")
        time.sleep(PERIOD_S)
    return found


def join(thread: threading.Thread, limit: float = LIMIT_S) -> None:
    """Wait for the end of a thread."""
    thread.join(limit)
    if thread.is_alive():
        raise TooLate(f"thread {thread.name} did not end within {limit:g} s")


def reap(pid: int, limit: float = LIMIT_S) -> int:
    """Wait for the end of a child; its wait status."""

    def look() -> tuple[int, int] | None:
        found = os.waitpid(pid, os.WNOHANG)
        return found if found[0] else None

    return int(wait_until(look, f"the end of process {pid}", limit)[1])
