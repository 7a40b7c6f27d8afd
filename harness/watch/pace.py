"""The watcher on a crowded machine: it asks to be scheduled soon, because its looks are short.

A verdict costs a few milliseconds of work.  Beside twenty busy processes these are spread over many
turns, and each turn is waited for.  A small slice (any user may ask for one; Linux 6.12) lets a thread that
wakes run before those that have run for long; a better nice value is a larger part of the
processor and is granted to few.  Both are asked for, and going without is no error.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SLICE_NS = 500_000
NICE = -10
_SET = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
_libc = ctypes.CDLL(None, use_errno=True)


def _ask(slice_ns: int, nice: int) -> None:
    """sched_setattr of this thread: size, policy (other), flags, nice, priority, slice, deadline, period."""
    if _SET is not None:
        attr = struct.pack("IIQiIQQQ", 48, 0, 0, nice, 0, slice_ns, 0, 0)
        _libc.syscall(_SET, 0, attr, 0)


@contextmanager
def hurried() -> Iterator[None]:
    """The calling thread, and no other one, is scheduled as a short look deserves."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(before, NICE))
    _ask(SLICE_NS, os.getpriority(os.PRIO_PROCESS, 0))
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
        _ask(0, before)
