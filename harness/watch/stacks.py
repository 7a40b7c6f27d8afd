"""Python stacks of other processes, last of all.

A signal makes a futex waiter return and test again: a stack dumper can cure the very lost
wakeup that it is asked to show.  So stacks are taken after everything that only looks,
and a thread that moved because of them is noted.

``enable`` makes a thread that gets SIGUSR2 write its own stack to a memfd of its process; that
works while the interpreter lock is held, and needs no privileges.  Its own and no other thread's: the
frames of a thread that runs may change while another thread follows them, and that one then crashes,
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
from dataclasses import dataclass, field
from typing import Any

from harness import _native
from harness.shm.arena import Arena
from harness.watch import kernel
from harness.watch.snapshot import shorten

WAIT_S = 0.5  # for a thread that does not answer; on a crowded machine it may not get to its signal for long
PERIOD_S = 0.0003
GONE_S = 0.02
CALM_LOOKS = 10
OUTERMOST = (
    " in <module>",
    " in _bootstrap",
    " in _run_module_as_main",
    "  ...",
)  # and then nothing more comes
_FILE = "hangdog-stack"
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
            fd = os.memfd_create(_FILE, os.MFD_CLOEXEC)
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


@dataclass
class _Asked:
    """One process whose threads are asked one after the other: they write into one file."""

    pid: int
    fd: int
    left: list[tuple[int, int]]  # (seat, tid), the next one last
    file: int = -1
    seat: int = 0  # of the thread that is asked now; 0: none
    tid: int = 0
    start: int = 0  # where its answer begins
    asked_at: float = 0.0
    looked_at: float = 0.0
    frames: list[str] = field(default_factory=list)
    calm: int = 0  # looks in a row that showed the same frames

    def ask_next(self) -> bool:
        """Send the signal to the next thread; False when there is none left."""
        self.seat = 0
        while self.left:
            seat, tid = self.left.pop()
            try:
                self.start = os.fstat(self.file).st_size
                _signal(self.pid, tid)
            except OSError:  # it has ended meanwhile
                continue
            self.seat, self.tid, self.frames, self.calm = seat, tid, [], 0
            self.asked_at = self.looked_at = time.monotonic()
            return True
        return False

    def is_gone(self, now: float) -> bool:
        """Has the thread ended since it was asked?  Looked at now and then only."""
        if now - self.looked_at < GONE_S:
            return False
        self.looked_at = now
        return kernel.state(self.pid, self.tid) in "-ZX"

    def answer(self) -> bool:
        """Read what there is; True when it is whole.

        It is written piece by piece, by a thread that may lose its processor in between, and no mark
        follows the last piece.  The outermost frame of most threads is known by its name; of all others
        frames must be there, and no new ones for some looks.
        """
        size = max(0, os.fstat(self.file).st_size - self.start)
        text = os.pread(self.file, size, self.start).decode(errors="replace")
        now = parse(text)
        self.calm = self.calm + 1 if now and now == self.frames else 0
        self.frames = now
        return bool(now) and (_outermost(text) or self.calm >= CALM_LOOKS)


def _outermost(text: str) -> bool:
    """Does the answer end with a frame that has no caller (or with the mark of a stack that was cut)?"""
    last = text.rstrip("\n").rpartition("\n")[2]
    return text.endswith("\n") and last.endswith(OUTERMOST)


class Asking:
    """Stacks of many threads that have been asked for: (seat, pid, tid, fd); ``poll`` until it is True.

    All processes are asked at once, the threads of one process in turn.  A thread that does not answer
    within ``wait_s`` seconds has no entry in ``found``; a thread whose process runs another program by now,
    to which the signal would be deadly, is not asked.
    """

    def __init__(self, threads: list[tuple[int, int, int, int]], wait_s: float = WAIT_S) -> None:
        self.found: dict[int, list[str]] = {}  # seat -> frames, the most recent call first
        self.wait_s = wait_s
        groups: dict[int, _Asked] = {}
        for seat, pid, tid, fd in reversed(threads):
            groups.setdefault(pid, _Asked(pid, fd, [])).left.append((seat, tid))
        self._open = [one for one in groups.values() if _open(one)]
        self._waiting = [one for one in self._open if one.ask_next()]

    def poll(self) -> bool:
        """Read what there is, without waiting; True when nothing more will come."""
        now = time.monotonic()
        for one in self._waiting:
            if one.answer():
                self.found[one.seat] = one.frames
            elif now - one.asked_at < self.wait_s and not one.is_gone(now):
                continue
            else:
                # The rest may still come, into the file that the others of this process write: their
                # answers could not be told from it, so they are not asked.
                one.left.clear()
                if one.frames:
                    self.found[one.seat] = one.frames
            one.ask_next()
        self._waiting = [one for one in self._waiting if one.seat]
        return not self._waiting

    def close(self) -> None:
        """Ask no more."""
        self._waiting = []
        for one in self._open:
            os.close(one.file)
        self._open = []

    def wait(self) -> dict[int, list[str]]:
        """Poll until there is nothing more to come; what was found."""
        try:
            while not self.poll():
                time.sleep(PERIOD_S)
        finally:
            self.close()
        return self.found


def collect(threads: list[tuple[int, int, int, int]], wait_s: float = WAIT_S) -> dict[int, list[str]]:
    """{seat: frames} of these threads; waits for them as ``Asking`` says."""
    return Asking(threads, wait_s).wait()


def _open(one: _Asked) -> bool:
    path = f"/proc/{one.pid}/fd/{one.fd}"
    try:
        if not os.readlink(path).startswith(f"/memfd:{_FILE}") or not _catches(one.pid):
            return False
        one.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    return True


def _catches(pid: int) -> bool:
    """Has the process a handler for our signal?  Without one it would end."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        caught = next((line for line in status if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGUSR2 - 1) & 1)


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


def ask(seats: list[tuple[Any, str]], wait_s: float = WAIT_S) -> Asking:
    """Ask the threads of (seat row, state letter); stopped and dead ones are not asked."""
    found: dict[int, list[str]] = {}
    wanted = []
    for seat, state in sorted(seats, key=lambda one: one[1] == "D"):  # those in the kernel for long, last
        if seat.stack_fd < 0 or state in ("T", "t", "-", "Z"):
            continue
        number, where = int(seat.number), (int(seat.pid), int(seat.tid), int(seat.stack_fd))
        if seat.activity == _REPORTING and (frames := raised(*where)):
            found[number] = frames
        else:
            wanted.append((number, *where))
    asking = Asking(wanted, wait_s)
    asking.found |= found
    return asking
