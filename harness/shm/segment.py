"""Where an arena's bytes come from: a sealed memfd or a file, and how others find them.

Guarantees: the memory is there when a segment is made (a lack of it later would be a
SIGBUS), nothing is left behind by an attempt that failed, and what is opened has been
verified: magic, version, size, layout, that no other process can shorten it (a memfd), and
every offset inside its bounds.  A copy, or a file from before the last boot, is told apart.
"""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import shlex
import stat
from pathlib import Path
from typing import Any

from harness import _native
from harness.errors import ArenaError, BadInput, CannotRunHere, NoAccess, NotAnArena, StaleArena
from harness.shm import native
from harness.shm.layout import native_fingerprint
from harness.shm.names import shown

_MAX_REFUSAL: int = native.Header.refusal.size - 1
MAGIC = b"hangdog\x01"
MEMFD = "/memfd:hangdog:"
_NOEXEC_SEAL = 0x0008  # MFD_NOEXEC_SEAL, Linux 6.3; Python has no name for it before 3.13
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_NO_ROOM = (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT)


def new_memfd(name: str, total: int) -> int:
    """A sealed memfd of ``total`` bytes that only this user may open.

    CannotRunHere when the kernel has no memfd or the memory is not there.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        try:
            fd = os.memfd_create(f"hangdog:{name}", flags | _NOEXEC_SEAL)
        except OSError:  # before 6.3: an unknown flag
            fd = os.memfd_create(f"hangdog:{name}", flags)
    except OSError as error:
        _refuse_shortage(error)
        raise CannotRunHere(f"the kernel gives no memfd: {error.strerror}", "uname -sr") from None
    try:
        os.fchmod(fd, 0o600)  # the default is 0777, and /proc/PID/fd would let any user in
        _take_memory(fd, total, "shared memory")
        # Sealed: a process that shrank it would kill all others with SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def new_file(path: Path, total: int) -> int:
    """The same in a new file, which outlives every process.

    BadInput when it exists or may not be made, CannotRunHere when the disk is full.
    """
    hint = "hangdog run --arena-file NEW"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BadInput(f"arena file {str(path)!r} exists already", hint) from None
    except ValueError:  # the only one that a path can raise
        raise BadInput(f"the path of an arena file has no NUL: {shown(str(path))}", hint) from None
    except OSError as error:
        _refuse_shortage(error)
        raise BadInput(f"cannot create arena file {str(path)!r}: {error.strerror}", hint) from None
    try:
        _take_memory(fd, total, str(path))
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return fd


def _refuse_shortage(error: OSError) -> None:
    """CannotRunHere when it is descriptors that are missing, ours or the machine's."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise CannotRunHere(f"an arena needs a file descriptor: {error.strerror}", "ulimit -n") from None


def _take_memory(fd: int, total: int, where: str) -> None:
    # Asked first: the kernel takes page after page until there is none left, for this process or any other.
    if (room := _room_for(fd)) is not None and total > room:
        raise CannotRunHere(
            f"there is no room for {total} bytes in {where}: {room} are left", "df -h /dev/shm /tmp"
        )
    try:
        os.ftruncate(fd, total)
        os.posix_fallocate(fd, 0, total)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise ArenaError(f"cannot take {total} bytes of {where}: {error.strerror}") from None
        raise CannotRunHere(
            f"there is no room for {total} bytes in {where}: {error.strerror}", "df -h /dev/shm /tmp"
        ) from None


def _room_for(fd: int) -> int | None:
    """Bytes that a new file could have now: of its disk, or of memory and swap.  None: not known."""
    disk = os.fstatvfs(fd)
    if disk.f_blocks:
        return disk.f_bfree * disk.f_frsize  # what is kept for root may be ours
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    rows = dict(line.split(":", 1) for line in lines)
    left = [rows[name] for name in ("MemAvailable", "SwapFree") if name in rows]
    return sum(int(row.split()[0]) for row in left) * 1024 if len(left) == 2 else None


def mapped(fd: int, total: int) -> mmap.mmap:
    """Those bytes in our address space.  CannotRunHere when it has no room for them."""
    try:
        return mmap.mmap(fd, total)
    except OSError as error:
        raise CannotRunHere(f"cannot map an arena of {total} bytes: {error.strerror}", "ulimit -v") from None


def open_segment(where: str) -> int:
    """A descriptor of something that may be an arena.  NoAccess says why not."""
    try:
        fd = os.open(where, os.O_RDWR | os.O_CLOEXEC)
    except ValueError:  # the only one that a path can raise
        raise NoAccess(shown(where), "a path has no NUL") from None
    except OSError as error:
        raise NoAccess(where, os.strerror(error.errno or 0)) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NotAnArena(where, "it is no file that could be mapped")
        # A process that has a memfd open may shrink it, and the next access here would be SIGBUS:
        # unless it is sealed.
        is_memfd = os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:")
        if is_memfd and fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise NotAnArena(where, "it is not sealed: its size could change while it is in use")
    except BaseException:
        os.close(fd)
        raise
    return fd


def kernel_boot() -> int:
    """The boot of the running kernel, as a number.  0: it does not say."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return 0
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") | 1


def mark(header: Any, fd: int) -> None:
    """Write into a new segment's header which file and which boot it belongs to."""
    file = os.fstat(fd)
    header.file_device, header.file_inode = file.st_dev, file.st_ino
    header.kernel_boot = kernel_boot()


def earlier_boot(header: Any) -> bool:
    """Was this segment left over by an earlier boot?  Then no thread that has a seat in it lives."""
    return bool(header.kernel_boot != kernel_boot())


def refusal(header: Any, fd: int, where: str) -> bytes:
    """Why no lock of this segment can be used, a newline, what to try; empty: they can.

    The kernel marks dead holders in the mapped file itself, and only in the one that it was running with.
    """
    file = os.fstat(fd)
    if (header.file_device, header.file_inode) != (file.st_dev, file.st_ino):
        why = "is a copy of another one"
    elif earlier_boot(header):
        why = "was left over by an earlier boot"
    else:
        return b""
    shown = where if len(where) <= 120 else "..." + where[-117:]
    text = f"arena file {shown!r} {why}: its locks cannot be used\nhangdog dump {shlex.quote(where)}"
    return text.encode(errors="replace")[:_MAX_REFUSAL]


def verify(fd: int, where: str) -> Any:
    """The header of a segment, as a copy.  NotAnArena: damaged or truncated; StaleArena: another build's."""
    size, room = os.fstat(fd).st_size, ctypes.sizeof(native.Header)
    if size < room:
        raise NotAnArena(where, f"it has {size} bytes, a header alone has {room}")
    header: Any = native.Header.from_buffer_copy(os.pread(fd, room, 0))
    # A char array is cut at its first NUL by ctypes; the magic has none.
    if header.magic != MAGIC:
        raise NotAnArena(where, f"it begins with {header.magic!r}, an arena with {MAGIC!r}")
    for what, found, expected in (
        ("version", header.version, _native.CONSTANTS["VERSION"]),
        ("layout", header.fingerprint, native_fingerprint()),
    ):
        if found != expected:
            raise StaleArena(header.name.decode(errors="replace"), int(found), int(expected), what)
    if header.size != size:
        raise NotAnArena(where, f"its header says {header.size} bytes, there are {size}")
    _verify_places(fd, header, where)
    return header


def _verify_places(fd: int, header: Any, where: str) -> None:
    """Every offset that is followed later without a check."""
    names = ("seats", "classes", "order", "edges", "sites", "names", "reports", "directory")
    room = 1 <= header.seat_count <= _native.CONSTANTS["MAX_SEATS"]
    fixed = _native.fixed_size(header.seat_count) if room else header.size + 1
    if fixed > header.size or any(not 0 < getattr(header, name) < fixed for name in names):
        raise NotAnArena(where, f"its tables do not lie inside its {header.size} bytes")
    limit, entry_size = _native.CONSTANTS["DIRECTORY"], ctypes.sizeof(native.Entry)
    if header.directory_count > limit or not fixed <= header.heap_next <= header.size:
        raise NotAnArena(where, f"its directory has {header.directory_count} entries, {limit} is the limit")
    for i in range(header.directory_count):
        raw = os.pread(fd, entry_size, header.directory + i * entry_size)
        if len(raw) < entry_size:
            raise NotAnArena(where, f"its directory does not lie inside its {header.size} bytes")
        entry: Any = native.Entry.from_buffer_copy(raw)
        if entry.offset + entry.record_size * entry.count > header.size:
            raise NotAnArena(where, f"entry {entry.name.decode(errors='replace')!r} lies outside of it")


def find_in(pid: int) -> str:
    """The /proc path of the arena that a process has open; of several the newest.

    NoAccess: no such process, or another user's; NotAnArena: it has none.
    """
    try:
        entries = sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda entry: int(entry.name))
    except FileNotFoundError:
        raise NoAccess(f"process {pid}", "there is no such process") from None
    except PermissionError:
        raise NoAccess(f"process {pid}", "it belongs to another user") from None
    for is_arena in (_is_memfd, _is_file):  # a memfd tells by its name alone; files must be read
        found = []
        for entry in entries:
            try:
                if is_arena(entry):
                    found.append((_created(entry), str(entry)))
            except OSError:
                continue  # closed meanwhile
        if found:
            return max(found, key=lambda row: row[0])[1]
    raise NotAnArena(f"process {pid}", "it has no arena open")


def _created(entry: Path) -> int:
    """When the arena was made, as its header says."""
    at: Any = native.Header.created
    with entry.open("rb") as file:
        file.seek(at.offset)
        return int.from_bytes(file.read(at.size), "little")


def _is_memfd(entry: Path) -> bool:
    return os.readlink(entry).startswith(MEMFD)


def _is_file(entry: Path) -> bool:
    if not entry.is_file():  # never open a pipe or a terminal: that could block
        return False
    with entry.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def find_arenas() -> list[tuple[int, str]]:
    """(pid, /proc path) of every process of this user that has an arena in memory, one row per process."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            memfd = next((str(entry) for entry in (folder / "fd").iterdir() if _is_memfd(entry)), None)
        except OSError:
            continue  # ended meanwhile, or another user's
        if memfd is not None:
            found.append((int(folder.name), memfd))
    return sorted(found)
