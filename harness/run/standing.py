"""How a thread stands in the kernel's eyes: does it run, is it stopped, how much did it get.

A worker that is told to end has so many seconds of its own.  On a crowded machine it may want the
processor and not get it, or somebody outside may have stopped it: neither is its fault, so neither
is counted against it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # of /proc/.../stat, counted from the state


@dataclass(frozen=True)
class Standing:
    """State letter of a thread ("-": it is gone) and seconds of processor that it has had."""

    state: str = "-"
    cpu_s: float = 0.0

    @property
    def stopped(self) -> bool:
        """By a signal, or by who traces it."""
        return self.state in ("T", "t")


def of_thread(pid: int, tid: int) -> Standing:
    """One look."""
    try:
        text = Path(f"/proc/{pid}/task/{tid or pid}/stat").read_text()
    except OSError:
        return Standing()
    words = text[text.rindex(")") + 2 :].split()
    return Standing(words[0], (int(words[_UTIME]) + int(words[_STIME])) * _TICK_S)


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
