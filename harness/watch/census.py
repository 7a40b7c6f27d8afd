"""Threads without a seat that have the arena: any one of them may be about to wake a sleeper.

Counted in the kernel's task lists, of every process that has a seat or the arena mapped, and only
when a verdict depends on it.  Left out are the watcher's own thread and those that the harness has put on
record (``bystanders``).

A process whose map may not be read (it has more rights than we, as the first one of a container often
has) can have the arena in three ways.  It has a seat: then the seat tells.  It inherited it by a fork:
then it is younger than the arena, and counts.  It is older and opened it with its greater rights, and
has not used a lock yet: nothing can show that, so the finding names every such process.
"""

import os
import threading
import time

from harness.watch import bystanders, kernel
from harness.watch.records import Snapshot
from harness.watch.snapshot import Reader

SLACK_S = 1.0  # starts are told in ticks of 10 ms, and the wall clock may have been set a little


def outsiders(reader: Reader, snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """(threads, older): one line each of the first, "pid 12 thread 13 (python, poll)".

    ``older``: processes that may not be looked at and cannot have inherited the arena.
    """
    known = {(seat.pid, seat.tid) for seat in snapshot.seats if not seat.dead}
    mine = (os.getpid(), threading.get_native_id())
    left_out = bystanders.registered(reader.arena) | {mine}
    found, mapped, closed = [], set[int](), []
    for pid, sure in kernel.processes_with(os.fstat(reader.arena.fd)):
        if sure:
            mapped.add(pid)
        else:
            closed.append(pid)
    made = _made(reader, mapped)
    older = []
    for pid in closed:
        name = f"pid {pid} ({kernel.command(pid)})"
        if kernel.started(pid, pid) / os.sysconf("SC_CLK_TCK") >= made:
            found.append(f"{name}, which may not be looked at")
        else:
            older.append(name)
    # It has a seat, and the kernel's list does not show it with the arena: another pid namespace.
    away = {seat.pid for seat in snapshot.seats if not seat.dead} - mapped
    found += [f"the process of seat pid {pid}, which cannot be found here" for pid in sorted(away)]
    for pid in sorted(mapped):
        every = kernel.threads(pid)
        for tid in every or []:
            if (pid, tid) not in known and (pid, tid) not in left_out:
                where = kernel.call(pid, tid) or f"state {kernel.state(pid, tid)}"
                found.append(f"pid {pid} thread {tid} ({kernel.command(pid)}, {where})")
    return found, older


def _made(reader: Reader, mapped: set[int]) -> float:
    """No process that started before this second since boot has inherited the arena.

    By the wall clock, which may have been set back since; so also no later than any that has it.
    """
    by_clock = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - reader.arena.header.created / 1e9)
    starts = [kernel.started(pid, pid) / os.sysconf("SC_CLK_TCK") for pid in mapped]
    return float(min([by_clock, *(start for start in starts if start)])) - SLACK_S
