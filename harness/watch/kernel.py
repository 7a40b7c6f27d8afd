"""What the kernel says of threads and processes: for words in a sentence, never to decide who lives.

Everything here may be missing (another user's process, no /proc, an old kernel): then it is empty.
"""

import ctypes
import fcntl
import os
import platform
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

STOPPED = ("T", "t")
PF_EXITING = 0x4  # in the flags of /proc/PID/stat
_GET_INFO = 0xC0000000 | 0xFF << 8 | 11  # PIDFD_GET_INFO without its size
_EXIT = 1 << 3  # PIDFD_INFO_EXIT: also after the process was reaped (Linux 6.15)
_INFO_BYTES, _EXIT_AT = 64, 60
_MOST_ENDINGS = 512
_MOST_TEXT = 1 << 14  # several times what any of these files holds
_CALLS = {
    "x86_64": {
        0: "read", 1: "write", 7: "poll", 23: "select", 35: "nanosleep", 42: "connect", 43: "accept",
        44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 61: "wait4", 73: "flock", 74: "fsync",
        75: "fdatasync", 202: "futex", 230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid",
        270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4",
    },
    "aarch64": {
        22: "epoll_pwait", 32: "flock", 63: "read", 64: "write", 72: "pselect6", 73: "ppoll", 82: "fsync",
        83: "fdatasync", 95: "waitid", 98: "futex", 101: "nanosleep", 115: "clock_nanosleep", 202: "accept",
        203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 242: "accept4",
        260: "wait4",
    },
}.get(platform.machine(), {})  # fmt: skip


def _text(path: str) -> str:
    """Of a small file of /proc.  The plain calls: a look reads one file per thread, and must be short."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _MOST_TEXT).decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
    finally:
        os.close(fd)


def state(pid: int, tid: int) -> str:
    """State letter of a thread, "-" when it is gone."""
    text = _text(f"/proc/{pid}/task/{tid}/stat")
    return text[text.rindex(")") + 2] if ")" in text else "-"


def exiting(pid: int, tid: int) -> bool:
    """Is the thread on its way out?  Its state letter says so only in the end."""
    text = _text(f"/proc/{pid}/task/{tid}/stat")
    return ")" in text and bool(int(text[text.rindex(")") + 2 :].split()[6]) & PF_EXITING)


def started(pid: int, tid: int) -> int:
    """When it was started, in the kernel's ticks since boot; 0: it is gone."""
    text = _text(f"/proc/{pid}/task/{tid}/stat")
    return int(text[text.rindex(")") + 2 :].split()[19]) if ")" in text else 0


def tracer(pid: int, tid: int) -> int:
    """Who traces it (a debugger), 0: none."""
    for line in _text(f"/proc/{pid}/task/{tid}/status").splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


def call(pid: int, tid: int) -> str:
    """The system call that it sits in, by name where this machine's number is known."""
    word = _text(f"/proc/{pid}/task/{tid}/syscall").split(" ")[0].strip()
    if word.isdigit():
        return _CALLS.get(int(word), f"system call {word}")
    where = _text(f"/proc/{pid}/task/{tid}/wchan").strip()
    return "" if where in ("", "0") else where


def command(pid: int) -> str:
    """Short name of the program."""
    return _text(f"/proc/{pid}/comm").strip()


def threads(pid: int) -> list[int] | None:
    """Its threads that have not ended; None when they cannot be listed."""
    try:
        every = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return None
    return [tid for tid in every if state(pid, tid) not in ("-", "Z", "X")]


def processes_with(file: os.stat_result) -> Iterator[tuple[int, bool]]:
    """(pid, sure) of every process that has the file mapped; not sure: it may not be looked at."""
    mark = f" {os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x} {file.st_ino} "
    # A file for one user alone: no other user can open it, and a process that inherited it keeps its user.
    private = file.st_uid == os.getuid() != 0 and not file.st_mode & 0o077
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            text = Path(f"/proc/{name}/maps").read_text(errors="replace")
        except ProcessLookupError:
            continue
        except OSError:
            try:
                uids = next(line for line in _text(f"/proc/{name}/status").splitlines() if "Uid:" in line)
            except StopIteration:
                continue  # it has ended
            if not private or str(file.st_uid) in uids.split()[1:]:
                yield int(name), False
            continue
        if mark in text:
            yield int(name), True


def ending(status: int) -> str:
    """A wait status in words."""
    if status & 0x7F:
        number = status & 0x7F
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    return f"exited with code {status >> 8 & 0xFF}"


def _zombie(pid: int) -> str:
    """Of a process that its parent has not waited for yet."""
    text = _text(f"/proc/{pid}/stat")
    rest = text[text.rindex(")") + 2 :].split() if ")" in text else []
    return ending(int(rest[49])) if len(rest) > 49 and rest[0] == "Z" else ""


class Endings:
    """How processes ended that are no children of ours: the kernel keeps it for those that have a pidfd."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}

    def watch(self, pid: int) -> None:
        """From now on its end can be told.  Without descriptors, or an old kernel: it will not be."""
        if pid in self.open or len(self.open) >= _MOST_ENDINGS:
            return
        try:
            self.open[pid] = os.pidfd_open(pid)
        except OSError:
            self.open[pid] = -1

    def of(self, pid: int) -> str:
        """ "killed by SIGKILL"; empty: not known, or it has not ended."""
        fd = self.open.get(pid, -1)
        if fd < 0:
            return _zombie(pid)
        buffer = ctypes.create_string_buffer(struct.pack("Q", _EXIT), _INFO_BYTES)
        try:
            fcntl.ioctl(fd, _GET_INFO | _INFO_BYTES << 16, buffer, True)
        except OSError:
            return _zombie(pid)
        if not struct.unpack_from("Q", buffer)[0] & _EXIT:
            return _zombie(pid)
        return ending(struct.unpack_from("i", buffer, _EXIT_AT)[0] & 0xFFFF)

    def forget(self, pids: set[int]) -> None:
        """Only these are still of interest."""
        for pid in self.open.keys() - pids:
            fd = self.open.pop(pid)
            if fd >= 0:
                os.close(fd)
