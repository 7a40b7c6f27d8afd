"""What a program of known truth is made of: processes, gates and locks in one arena.

A program is a function of a ``World``.  It runs in a process of its own, the *driver*, which forks
actors and leads them with gates.  Guarantees: no gate and no look waits longer than LIMIT_S, and an
actor that fails says so by its exit status.  The driver maps the arena, so a program that is about
"no thread is left" lets its driver end; the actors live on below the runner.
"""

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import Structure, c_uint32
from functools import partial
from typing import Any

import harness.locks  # noqa: F401 - fills in Arena.mutex and the others
from harness import _native
from harness.shm import Arena
from harness.shm.layout import guarded
from harness.shm.roster import TAKEN, Roster

C = _native.CONSTANTS
LIMIT_S = 60.0
LOOK_S = 0.001
GATES = 1 << 16


class Cell(Structure):
    """Words that the actors wait for."""

    _fields_, GUARDS, NOTES = guarded(("O", "count", c_uint32, ""), ("O", "busy", c_uint32, ""))


class World:
    """An arena, two cells, and the processes of one program."""

    def __init__(self) -> None:
        self.a = Arena.create("truth", size=1 << 20, seats=48)
        cells = self.a.table("cells", Cell, 8)
        self.cell, self.other = cells[1], cells[2]
        self.runner = os.getpid()
        self.gates = mmap.mmap(-1, GATES)
        self.roster = Roster(self.a)
        self.a.native.leave()  # who looks on is no thread of the program
        self.actors: list[int] = []

    # --- actors ----------------------------------------------------------

    def go(self, body: Callable[..., Any], *args: Any, name: str = "actor", op: str = "") -> int:
        """Fork an actor that runs ``body(*args)``, in one step called ``op`` if that is given; its pid."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self.actors.append(pid)
            return pid
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.actors = []
            self.a.native.sit(name)
            with self.step(op) if op else nothing():
                body(*args)
            if not self.a.native.depth():
                self.a.native.leave()
            status = 0
        except BaseException:  # noqa: BLE001 - the runner reads the status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step of the calling thread."""
        self.a.native.begin(name)
        yield
        self.a.native.end()

    def join(self) -> None:
        """Wait for the end of every actor that this process has started."""
        for pid in self.actors:
            self.until(partial(gone, pid), f"the end of {pid}")
        self.actors = []

    # --- gates -----------------------------------------------------------

    def open(self, gate: str) -> None:
        """Let every thread through that waits at this gate, and every one that comes later."""
        self.gates[zlib.crc32(gate.encode()) % GATES] = 1

    def is_open(self, gate: str) -> bool:
        return bool(self.gates[zlib.crc32(gate.encode()) % GATES])

    def at(self, gate: str) -> None:
        """Wait at a gate."""
        self.until(lambda: self.is_open(gate), f"gate {gate!r}")

    def meet(self, mine: str, theirs: str) -> None:
        """Open the first gate and wait at the second."""
        self.open(mine)
        self.at(theirs)

    def until(self, look: Callable[[], Any], what: str) -> None:
        """Poll until ``look()`` is true."""
        end = time.monotonic() + LIMIT_S
        while not look():
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come within {LIMIT_S} s")
            time.sleep(LOOK_S)

    # --- looking at seats ------------------------------------------------

    def waits(self, name: str) -> None:
        """Wait until a thread of this name waits for one of our locks or words."""
        role = name.encode()
        self.until(
            lambda: any(s.live == TAKEN and s.role == role and s.activity for s in self.roster.seats),
            f"a wait of {name}",
        )

    def stopped(self, pid: int) -> None:
        self.until(lambda: state(pid) in "tT", f"the stop of {pid}")

    def stop(self, pid: int) -> None:
        """SIGSTOP, and wait until it stands."""
        os.kill(pid, signal.SIGSTOP)
        self.stopped(pid)

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: gone(pid), f"the end of {pid}")
        if pid in self.actors:
            self.actors.remove(pid)

    # --- words -----------------------------------------------------------

    def address(self, field: str = "count") -> int:
        return int(self.cell.address) + int(getattr(Cell, field).offset)

    def put(self, value: int = 1) -> None:
        """Change the word, and note that it was us."""
        self.cell.count = value
        self.a.native.changed(self.address())

    def sleeper(self, guard: Any, channel: Any, name: str = "sleeper", **more: Any) -> int:
        """An actor that sleeps once, without a second look, until count is 1."""

        def body() -> None:
            guard.acquire()
            channel.sleep(guard, "job", (self.cell, "count", 1))

        return self.go(body, name=name, **more)

    def consumer(self, guard: Any, channel: Any, name: str = "consumer", **more: Any) -> int:
        """An actor that waits as one should until count is 1."""

        def body() -> None:
            with guard:
                channel.wait(guard, "job", (self.cell, "count", 1))

        return self.go(body, name=name, **more)


@contextmanager
def nothing() -> Iterator[None]:
    yield


def stay() -> None:
    """Do nothing for good, in the kernel, outside of all our locks."""
    while True:
        time.sleep(3600)


def spin(seconds: float) -> None:
    """Compute for about so long; the length is no order of events."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def later(seconds: float, work: Callable[[], Any]) -> None:
    """Do it in another thread after a while."""
    threading.Timer(seconds, work).start()


def state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return "-"
    return text[text.rindex(")") + 2]


def gone(pid: int) -> bool:
    """Has it ended?  Reaps our own child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return state(pid) in "-ZX"


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PTRACER, PR_SET_CHILD_SUBREAPER = 0x59616D61, 36
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_CONT, PTRACE_DETACH = 0x4206, 0x4207, 7, 17


def ptrace(request: int, pid: int) -> None:
    LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    LIBC.ptrace.restype = ctypes.c_long
    if LIBC.ptrace(request, pid, None, None) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request} {pid}")
