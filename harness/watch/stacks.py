"""Python stacks of other processes, last of all.

A signal makes a futex waiter return and test again: a stack dumper can cure the very lost
wakeup that it is asked to show.  So stacks are taken after everything that only looks,
and whoever moved because of them is noted.

``enable`` makes a thread that gets SIGUSR2 write its own stack to a memfd of its process; that
works while the interpreter lock is held, and needs no privileges.  Its own and nobody else's: the
frames of a thread that runs may change under the hand of another, and who follows them then crashes,
so looking at a livelock would kill it.

A thread that reports an exception has left the place of its mistake.  It writes down the exception's
frames before it reports (``publish``), and those are its stack.
"""

import ctypes
import errno
import faulthandler
import os
import platform
import re
import signal
import threading
import time
import traceback
from typing import Any

from harness import _native
from harness.shm.arena import Arena
from harness.watch.snapshot import shorten

WAIT_S = 0.1  # for a thread that does not answer
CALM_LOOKS = 3
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_RAISED = "Raised by thread {}:\n"
_REPORTING = _native.CONSTANTS["REPORTING"]
_TGKILL = {"x86_64": 234, "aarch64": 131}
_libc = ctypes.CDLL(None, use_errno=True)
_OPEN: dict[int, Any] = {}
_ENABLING = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_ENABLING=threading.Lock()))


def enable(arena: Arena) -> None:
    """Called once by each worker (and after a fork); publishes the descriptor in the seat."""
    pid = os.getpid()
    with _ENABLING:  # two threads would each open a file, and that of the first would be closed again
        if pid not in _OPEN:
            _OPEN.clear()
            fd = os.memfd_create("hangdog-stack", os.MFD_CLOEXEC)
            file = _OPEN[pid] = os.fdopen(fd, "wb", buffering=0)
            faulthandler.register(signal.SIGUSR2, file=file, all_threads=False, chain=False)
        arena.native.set_stack_fd(_OPEN[pid].fileno())


def publish(error: BaseException) -> None:
    """Write down where an exception of this thread was raised; nothing when stacks are not enabled."""
    file = _OPEN.get(os.getpid())
    if file is None:
        return
    frames = reversed(traceback.extract_tb(error.__traceback__))
    lines = [f'  File "{frame.filename}", line {frame.lineno} in {frame.name}\n' for frame in frames]
    file.write("".join([_RAISED.format(threading.get_native_id()), *lines, "\n"]).encode())


def raised(pid: int, tid: int, fd: int) -> list[str]:
    """What this thread published; [] when it has not."""
    try:
        with open(f"/proc/{pid}/fd/{fd}", "rb") as file:
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    _, head, block = text.rpartition(_RAISED.format(tid))
    return parse(block.partition("\n\n")[0]) if head else []


def capture(pid: int, tid: int, fd: int, wait_s: float = WAIT_S) -> list[str]:
    """Stack of one thread, the most recent call first; [] when it does not answer in time."""
    path = f"/proc/{pid}/fd/{fd}"
    try:
        before = os.stat(path).st_size
        _signal(pid, tid)
        end = time.monotonic() + wait_s
        with open(path, "rb") as file:
            frames: list[str] = []
            calm = 0
            # It is written piece by piece, by a thread that may lose its processor in between, and nothing
            # says that it is whole: so frames must be there, and no new ones for some looks.
            while calm < CALM_LOOKS and time.monotonic() < end:
                time.sleep(0.001)
                file.seek(before)
                now = parse(file.read().decode(errors="replace"))
                calm = calm + 1 if now and now == frames else 0
                frames = now
            return frames
    except OSError:
        return []


def _signal(pid: int, tid: int) -> None:
    """SIGUSR2 for one thread; ``os.kill`` would let the kernel choose among all of the process."""
    number = _TGKILL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no tgkill known on {platform.machine()}")
    if _libc.syscall(number, pid, tid, int(signal.SIGUSR2)) != 0:
        raise OSError(ctypes.get_errno(), f"tgkill {pid} {tid}")


def parse(text: str) -> list[str]:
    """The text of faulthandler as "file:line function", the most recent call first."""
    frames = (_FRAME.match(line) for line in text.splitlines())
    return [f"{shorten(match[1])}:{match[2]} {match[3]}" for match in frames if match]


def of_seat(seat: Any, state: str, wait_s: float = WAIT_S) -> list[str]:
    """The stack of one seat's thread; stopped and dead processes are not asked."""
    if seat.stack_fd < 0 or state in ("T", "t", "-", "Z"):
        return []
    where = int(seat.pid), int(seat.tid), int(seat.stack_fd)
    if seat.activity == _REPORTING and (frames := raised(*where)):
        return frames
    return capture(*where, wait_s)
