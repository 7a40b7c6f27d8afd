"""Threads without a seat that have the arena: any one of them may be about to wake a sleeper.

Counted in the kernel's task lists, of every process that has a seat or the arena mapped, and only
when a verdict depends on it.  Left out are the watcher's own thread and those that the harness has put on
record (``bystanders``).  What cannot be looked at counts as one.
"""

import os
import threading
import time

from harness.watch import bystanders, kernel
from harness.watch.records import Snapshot
from harness.watch.snapshot import Reader


def outsiders(reader: Reader, snapshot: Snapshot) -> list[str]:
    """One line each: "pid 12 thread 13 (python, poll)"."""
    known = {(seat.pid, seat.tid) for seat in snapshot.seats if not seat.dead}
    mine = (os.getpid(), threading.get_native_id())
    left_out = bystanders.registered(reader.arena) | {mine}
    at = os.fstat(reader.arena.fd)
    found, mapped = [], set[int]()
    # Who is older than the arena has not inherited it; that one may not be looked at says no more.
    made = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - reader.arena.header.created / 1e9)
    for pid, sure in kernel.processes_with(at.st_dev, at.st_ino):
        if sure:
            mapped.add(pid)
        elif kernel.started(pid, pid) / os.sysconf("SC_CLK_TCK") >= made:
            found.append(f"pid {pid} ({kernel.command(pid)}), which may not be looked at")
    # It sits there, and the kernel's list does not show it with the arena: another pid namespace.
    away = {seat.pid for seat in snapshot.seats if not seat.dead} - mapped
    found += [f"the process of seat pid {pid}, which cannot be found here" for pid in sorted(away)]
    for pid in sorted(mapped):
        every = kernel.threads(pid)
        for tid in every or []:
            if (pid, tid) not in known and (pid, tid) not in left_out:
                where = kernel.call(pid, tid) or f"state {kernel.state(pid, tid)}"
                found.append(f"pid {pid} thread {tid} ({kernel.command(pid)}, {where})")
    return found
