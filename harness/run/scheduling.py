"""What the kernel says of a thread: does it run, is it stopped, how much of the processor did it get.

A worker that is told to end has so many seconds of its own.  On a crowded machine it, or one that it waits
for, may want the processor and not get it, or it may be stopped from outside: neither is its fault, so
neither is counted against it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # of /proc/.../stat, counted from the state


@dataclass(frozen=True)
class Standing:
    """State letter of a thread ("-": it is gone), seconds of processor that it has had and has waited for."""

    state: str = "-"
    cpu_s: float = 0.0
    delayed_s: float = 0.0  # a delay that lasts is not in it yet; 0 where the kernel does not count it

    @property
    def stopped(self) -> bool:
        """By a signal, or by its tracer."""
        return self.state in ("T", "t")


def of_thread(pid: int, tid: int) -> Standing:
    """One look."""
    folder = Path(f"/proc/{pid}/task/{tid or pid}")
    try:
        text = (folder / "stat").read_text()
    except OSError:
        return Standing()
    words = text[text.rindex(")") + 2 :].split()
    try:
        cpu, delayed, *_ = (int(word) / 1e9 for word in (folder / "schedstat").read_text().split())
    except (OSError, ValueError):  # it ended, or a kernel without CONFIG_SCHED_INFO
        cpu, delayed = (int(words[_UTIME]) + int(words[_STIME])) * _TICK_S, 0.0
    return Standing(words[0], cpu, delayed)


class OwnTime:
    """Seconds that some threads, as (pid, tid), had for themselves; stops are excused for ``stops_s``."""

    def __init__(self, stops_s: float) -> None:
        self.stops_s = stops_s
        self.seen: dict[tuple[int, int], Standing] = {}

    def passed(self, seconds: float, late: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        """Of the seconds since the last call those that the late ones had; the first call is the beginning.

        Time in which one of them, or of the others that they may wait for, was stopped or waited for a
        processor is not theirs.  Processor time that a late one got is its own, whatever others waited for.
        """
        now = {one: of_thread(*one) for one in (*late, *others)}
        lost = got = 0.0
        if self.stops_s > 0 and any(stands.stopped for stands in now.values()):
            self.stops_s -= seconds
            lost = seconds
        for one, stands in now.items():
            was = self.seen.get(one, stands)
            cpu = stands.cpu_s - was.cpu_s
            lost += seconds if stands.state == "R" and cpu == 0.0 else 0.0  # it is in the queue still
            lost += stands.delayed_s - was.delayed_s
            got = max(got, cpu if one in late else 0.0)
        first, self.seen = not self.seen, now
        return 0.0 if first else min(seconds, max(got, seconds - lost))


def queued_s(pid: int, tid: int) -> float:
    """Seconds that a thread has wanted a processor and not had one; 0 when the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def program_of(pid: int) -> str:
    """The file that a process runs; empty when its memory is gone, as that of a dying one is."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
