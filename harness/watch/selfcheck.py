"""Does the watcher see?  A deadlock made on purpose, in an arena of its own.

Two threads of a child process take two locks crosswise.  Guarantees: before the circle is
closed the watcher must say nothing, afterwards it must say ``deadlock`` and name both threads
and both locks; the child is gone and the arena closed when ``check`` returns, whatever
happened; every wait has a limit.  Refuses to guess: whatever is not exactly that is
SelfCheckFailed, because a watcher that misses this one would report "nothing found" and mean
nothing.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from harness.errors import HarnessError
from harness.outcome import Finding
from harness.shm.arena import Arena
from harness.watch.stacks import enable
from harness.watch.watchdog import Watchdog

START_S = 20.0  # to start an interpreter, on a busy machine too
LIMIT_S = 5.0  # to see a closed circle; it takes a few hundredths of a second
CALM_SCANS = 5  # looks at two threads that hold a lock each and want nothing yet
PERIOD_S = 0.004
CLASS = "self-check"
ROLES = ("self-check#0", "self-check#1")
LOCKS = (f"{CLASS}[0]", f"{CLASS}[1]")


class SelfCheckFailed(HarnessError):
    """The watcher missed a deadlock, or saw one where there was none, or the child did not start."""

    hint = "hangdog list scenarios"


class Looks(Protocol):
    """As much of a Watchdog as is needed here."""

    def scan(self) -> list[Finding]:
        """One pass; the findings that are new."""


Maker = Callable[[Arena, Path | None], Looks]


def check(
    make: Maker = Watchdog,
    *,
    dump_dir: Path | None = None,
    start_s: float = START_S,
    limit_s: float = LIMIT_S,
) -> Finding:
    """Make the deadlock, find it, and give back the finding (with its text when there is no ``dump_dir``).

    ``make`` makes the watcher that is checked.  Errors: SelfCheckFailed; those of ``Arena.create``.
    """
    with Arena.create("selfcheck", size=1 << 16, seats=8) as arena, _child(arena) as child:
        _hear(child, "holding", start_s)
        watcher = make(arena, dump_dir)
        early = [found for _ in range(CALM_SCANS) for found in watcher.scan()]
        if early:
            what = f"{early[0].verdict} was found before anything was wrong: {early[0].summary}"
            raise SelfCheckFailed(what)
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        return _require_deadlock(_first(watcher, child, limit_s))


def _first(watcher: Looks, child: "subprocess.Popen[bytes]", limit_s: float) -> Finding:
    """The first finding of any kind but the order: that the two go crosswise is told before they hang."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := [one for one in watcher.scan() if one.verdict != "order_violation"]:
            return found[0]
        if child.poll() is not None:
            raise SelfCheckFailed(
                f"the child of the self-check ended with status {child.returncode}: {_said(child)}"
            )
        time.sleep(PERIOD_S)
    raise SelfCheckFailed(f"two threads wait for each other, and the watcher saw nothing for {limit_s:g} s")


def _require_deadlock(found: Finding) -> Finding:
    missing = [word for word in (*ROLES, *LOCKS) if word not in found.summary]
    if found.verdict != "deadlock" or missing:
        said = f"{found.verdict}: {found.summary}"
        lacks = f" (it lacks {', '.join(missing)})" if missing else ""
        raise SelfCheckFailed(f"a deadlock of {' and '.join(ROLES)} was reported as {said}{lacks}")
    return found


@contextmanager
def _child(arena: Arena) -> Iterator["subprocess.Popen[bytes]"]:
    """A fresh interpreter, not a fork: the caller may have threads, and their locks must not be inherited."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import hang; hang({arena.fd})"],
        pass_fds=[arena.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()  # SIGKILL: the kernel gives the locks back, no other thread is in this arena
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _hear(child: "subprocess.Popen[bytes]", word: str, limit_s: float) -> None:
    """Read one line; anything else, an end, or silence is a failure of the check."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], limit_s)
    line = child.stdout.readline().decode(errors="replace").strip() if ready else ""
    if line != word:
        why = f"it said {line!r}" if line else _said(child) if ready else "it said nothing in time"
        raise SelfCheckFailed(f"the child of the self-check did not start: {why}")


def _said(child: "subprocess.Popen[bytes]") -> str:
    """The last line of its standard error.  Only for a child that has closed its output or ended."""
    child.kill()  # a grandchild cannot exist; so the read ends
    assert child.stderr is not None
    lines = child.stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no error"


def hang(fd: int) -> None:
    """The child's side: two threads, each with one lock; on the word "go" each takes the other's."""
    arena: Any = Arena.attach(fd=fd)
    locks = [arena.mutex(CLASS, number, nest=True) for number in range(2)]
    first_held, go = threading.Barrier(3), threading.Event()

    def cross(number: int) -> None:
        arena.native.sit(ROLES[number])
        enable(arena)
        locks[number].acquire()
        first_held.wait()
        go.wait()
        locks[1 - number].acquire()

    for number in range(2):
        threading.Thread(target=cross, args=(number,), daemon=True).start()
    first_held.wait()
    arena.native.leave()  # the main thread only waits for its parent; it takes no part
    sys.stdout.write("holding\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():  # ends with the parent, however that dies
        if line == "go\n":
            go.set()
    os._exit(0)  # its threads will never end by themselves
