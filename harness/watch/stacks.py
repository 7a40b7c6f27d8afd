"""Python stacks of other processes, last of all.

A signal makes a futex waiter return and test again: a stack dumper can cure the very lost
wakeup that it is asked to show.  So stacks are taken after everything that only looks,
and whoever moved because of them is noted.

``enable`` makes a worker write its stack to a memfd of its own when SIGUSR2 comes; that
works while the interpreter lock is held, and needs no privileges.
"""

import contextlib
import faulthandler
import os
import re
import signal
import time
from typing import Any

from harness.shm.arena import Arena
from harness.watch.snapshot import shorten

WAIT_S = 0.1
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)")
_OPEN: dict[int, Any] = {}


def enable(arena: Arena) -> None:
    """Called once by a worker process (and after a fork); publishes the descriptor in the seat."""
    pid = os.getpid()
    if pid not in _OPEN:
        _OPEN.clear()
        fd = os.memfd_create("hangdog-stack", os.MFD_CLOEXEC)
        file = _OPEN[pid] = os.fdopen(fd, "wb", buffering=0)
        faulthandler.register(signal.SIGUSR2, file=file, all_threads=True, chain=False)
    arena.native.set_stack_fd(_OPEN[pid].fileno())


def capture(pid: int, fd: int) -> list[list[str]]:
    """Stacks of all threads of a process, the most recent call first; [] when it does not answer."""
    path = f"/proc/{pid}/fd/{fd}"
    try:
        before = os.stat(path).st_size
        os.kill(pid, signal.SIGUSR2)
        end = time.monotonic() + WAIT_S
        size = before
        while time.monotonic() < end:
            now = os.stat(path).st_size
            if now == size and now > before:
                break
            size = now
            time.sleep(0.001)
        with open(path, "rb") as file:
            file.seek(before)
            return parse(file.read().decode(errors="replace"))
    except OSError:
        return []


def parse(text: str) -> list[list[str]]:
    """The text of faulthandler -> one list of "file:line function" per thread."""
    threads: list[list[str]] = []
    for line in text.splitlines():
        if _THREAD.match(line) or line.startswith("Stack (most recent"):
            threads.append([])
        elif (match := _FRAME.match(line)) and threads:
            threads[-1].append(f"{shorten(match[1])}:{match[2]} {match[3]}")
    return [frames for frames in threads if frames]


def of_seat(seat: Any, state: str) -> list[str]:
    """The stack of one seat's thread; stopped and dead processes are not asked."""
    if seat.stack_fd < 0 or state in ("T", "t", "-", "Z"):
        return []
    stacks = capture(int(seat.pid), int(seat.stack_fd))
    if not stacks:
        return []
    if len(stacks) == 1 or seat.pid == seat.tid:
        return stacks[-1]  # the main thread comes last
    with contextlib.suppress(IndexError):
        return _of_thread(seat, stacks)
    return []


def _of_thread(seat: Any, stacks: list[list[str]]) -> list[str]:
    """Threads are named threads by pthread id; the order of native ids is the best match there is."""
    tids = sorted(int(name) for name in os.listdir(f"/proc/{seat.pid}/task"))
    newest_first = [tid for tid in sorted(tids, reverse=True) if tid != seat.pid]
    return stacks[newest_first.index(int(seat.tid))]
