"""How processes of a run stay tied together, so that none is left over.

* ``die_with_parent``: the kernel kills a child when the *thread* that forked it ends.
* ``adopt_orphans`` and ``sweep``: what a killed worker had started itself comes to the
  supervisor and is ended there.
* ``death_fd``: readable when a process is over, even while another process holds copies of its pipes.
* ``signals_blocked``: no SIGINT or SIGTERM while a child is being made: it would meet the parent's handler,
  or Python's own, in a process that has no role yet.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.watch.records import End

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies; ends it now if that has happened already.

    To be called first thing in a child.
    """
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    # Between fork and prctl the parent may have died: then the signal would never come.
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """From now on this process is the parent of what its dead children leave behind."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def single_threaded() -> bool:
    """Tell whether this process may fork: one thread as the kernel counts, not only as Python does."""
    return len(os.listdir("/proc/self/task")) == 1


def death_fd(process: Any) -> int:
    """A descriptor of our own that is readable once the process is over (to be closed by the caller).

    A sentinel of multiprocess will not do: it is a pipe that the process's children hold as well.
    """
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # before Linux 5.3, or a sandbox that has none
        return os.dup(process.sentinel)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """SIGINT and SIGTERM wait; a child made meanwhile inherits that and calls ``install_handlers``."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def install_handlers(interrupt: Any, terminate: Any) -> None:
    """Take the signals from now on, with these handlers.  Main thread only."""
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore(_signal: int, _frame: Any) -> None:
    """A handler that does nothing; unlike SIG_IGN it is not handed on to programs that are started."""


def in_main_thread() -> bool:
    """Tell whether Python would run signal handlers here."""
    return threading.current_thread() is threading.main_thread()


def send_signal(pid: int, number: int) -> bool:
    """Send it; False when there is none.  Only for children that were not reaped: their pid is theirs."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def sweep() -> list[int]:
    """Kill and reap every child that is left, adopted ones included; their pids.

    The caller has reaped its own children before.
    """
    ended: list[int] = []
    while left := _children():
        for pid in left:
            send_signal(pid, signal.SIGKILL)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
            ended.append(pid)
    return ended


def _children() -> list[int]:
    """Children of this (single) thread."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        import psutil

        return [child.pid for child in psutil.Process().children()]
    return [int(word) for word in text.split()]


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_of(exit_code: int) -> End:
    """The same as data."""
    return End(signal=max(0, -exit_code), exit_code=max(0, exit_code))


def died_by(exit_code: int) -> str:
    """How a process ended, from multiprocess's exit code (negative: a signal)."""
    return f"killed by {signal_name(-exit_code)}" if exit_code < 0 else f"exit code {exit_code}"
