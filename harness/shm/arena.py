"""One shared-memory segment with everything in it.

A sealed memfd named ``hangdog:<name>``: the kernel frees it with its last user, so
after kill -9 of everybody nothing is left.  ``path=`` puts it in a file instead, to
be examined after a crash.  Attaching refuses a segment of another build's shape.
"""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from harness import _native
from harness.errors import ArenaError, BadInput, CannotRunHere, NoAccess, NotAnArena, StaleArena, TableFull
from harness.shm import native
from harness.shm.layout import fingerprint, native_fingerprint
from harness.shm.table import Table

MAX_NAME = 60
_LOCK_NAMES = 1024
_OPEN: dict[int, "Arena"] = {}  # boot id -> the arena of this process: a fork keeps its parent's mapping


class Arena:
    """A mapped segment.  Make one with ``create`` or ``attach``, never by itself."""

    makers: ClassVar[dict[str, Callable[..., Any]]] = {}  # harness.locks fills in mutex, rwlock, channel

    def __init__(self, mapping: mmap.mmap, fd: int, where: str) -> None:
        self.mapping, self.fd, self.where = mapping, fd, where
        self.native = _native.Arena(mapping)
        self.header: Any = native.Header.from_buffer(mapping)
        self.tables: dict[str, Table[Any]] = {}
        self._locks: dict[tuple[str, str, int], Any] = {}
        _OPEN[self.header.boot_id] = self

    # --- making and finding

    @classmethod
    def create(cls, name: str, *, size: int, seats: int = 128, path: str | Path | None = None) -> "Arena":
        """A new arena with ``size`` bytes for tables beside the fixed ones.

        Errors: BadInput (name, size), CannotRunHere (no memfd, no memory), ArenaError (file).
        """
        if not name or len(name.encode()) > MAX_NAME or "/" in name:
            raise BadInput(f"arena name {name!r} must have 1 to {MAX_NAME} bytes and no '/'")
        total = _round(_native.fixed_size(seats) + size + 65536, mmap.PAGESIZE)
        fd = _open_file(Path(path), total) if path else _open_memfd(name, total)
        mapping = mmap.mmap(fd, total)
        _native.format(mapping, name, seats, secrets.randbits(63) | 1)
        arena = cls(mapping, fd, str(path) if path else f"/proc/{os.getpid()}/fd/{fd}")
        arena.header.fingerprint = native_fingerprint()
        registry = arena._reserve("lock registry", _LOCK_NAMES * 16 + _native.LAYOUT["hd_mutex"][0])
        _native.Mutex.format(arena.native, registry, arena.native.declare_class("registry", 0, 0), 0)
        return arena

    @classmethod
    def attach(
        cls, *, pid: int | None = None, fd: int | None = None, path: str | Path | None = None
    ) -> "Arena":
        """Map an existing arena: of a running process, by descriptor, or from a file.

        Errors: NoAccess (permission, no such process), NotAnArena (damaged, truncated), StaleArena.
        """
        if pid is not None:
            return cls._map(_find_in(pid))
        if fd is not None:
            return cls._map(f"/proc/self/fd/{fd}")
        return cls._map(str(path))

    @classmethod
    def _map(cls, where: str) -> "Arena":
        try:
            fd = os.open(where, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise NoAccess(where, os.strerror(error.errno or 0)) from None
        try:
            boot_id = _verify(fd, where)
            known = _OPEN.get(boot_id)
            if known is None:
                return cls(mmap.mmap(fd, os.fstat(fd).st_size), fd, where)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return known

    def __reduce__(self) -> tuple[Any, ...]:
        return (_attach_path, (self.header.boot_id, f"/proc/{os.getpid()}/fd/{self.fd}"))

    def close(self) -> None:
        """Give the descriptor back.  The mapping stays until the process ends.

        The kernel keeps a list of the robust locks that a thread holds, by address: unmapping
        under a holder would leave it pointing into nothing, and the lock would never be released.
        """
        _OPEN.pop(self.header.boot_id, None)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # --- what lies where

    @property
    def name(self) -> str:
        return str(self.header.name.decode())

    def directory(self) -> Iterator[Any]:
        """The entries in use, as native.Entry records."""
        base = self.header.directory
        for i in range(min(self.header.directory_count, _native.CONSTANTS["DIRECTORY"])):
            yield native.Entry.from_buffer(self.mapping, base + i * ctypes.sizeof(native.Entry))

    def _entry(self, name: str) -> Any | None:
        encoded = name.encode()
        return next((entry for entry in self.directory() if entry.name == encoded), None)

    def _reserve(
        self,
        name: str,
        nbytes: int,
        align: int = 64,
        option: str = "",
        record: tuple[int, int, int] = (0, 0, 0),
    ) -> int:
        if self.header.directory_count >= _native.CONSTANTS["DIRECTORY"]:
            raise TableFull("directory", _native.CONSTANTS["DIRECTORY"], "")
        offset = self.native.allocate(nbytes, align)
        if not offset:
            raise ArenaError(
                f"arena {self.name!r} of {self.header.size} bytes has no room for {name!r} ({nbytes} bytes)"
                + (f": {option} asks for too much" if option else "")
            )
        at = self.header.directory + self.header.directory_count * ctypes.sizeof(native.Entry)
        entry = native.Entry.from_buffer(self.mapping, at)
        entry.name, entry.offset = name.encode()[:47], offset
        entry.record_size, entry.count, entry.fingerprint = record if record[0] else (nbytes, 1, 0)
        self.header.directory_count += 1  # published last
        return int(offset)

    def reserve(self, name: str, nbytes: int, align: int = 64) -> int:
        """A raw area by name: its offset; an existing one of the same size is returned."""
        entry = self._entry(name)
        if entry is None:
            return self._reserve(name, nbytes, align)
        if entry.record_size != nbytes:
            raise ArenaError(f"area {name!r} has {entry.record_size} bytes, not {nbytes}")
        return int(entry.offset)

    def area(self, name: str) -> tuple[int, int]:
        """(offset, bytes) of a raw area."""
        entry = self._entry(name)
        if entry is None:
            raise ArenaError(f"arena {self.name!r} has no area {name!r}")
        return int(entry.offset), int(entry.record_size * entry.count)

    def table(
        self,
        name: str,
        record_type: Any,
        count: int = 0,
        option: str = "",
        classes: dict[str, int] | None = None,
    ) -> Table[Any]:
        """The table of this name: created with ``count`` records, or opened and compared.

        Record 0 is null and never used.  ``classes`` gives the lock class of each embedded lock row.
        Errors: StaleArena when the record's layout differs, ArenaError when there is no room.
        """
        if name in self.tables:
            return self.tables[name]
        size, shape = ctypes.sizeof(record_type), fingerprint(record_type)
        entry = self._entry(name)
        fresh = entry is None
        if entry is None:
            if count < 1:
                raise ArenaError(f"arena {self.name!r} has no table {name!r}")
            offset = self._reserve(name, size * count, 64, option, (size, count, shape))
        else:
            if entry.fingerprint != shape or entry.record_size != size:
                raise StaleArena(f"{self.name}:{name}", int(entry.fingerprint), shape)
            offset, count = int(entry.offset), int(entry.count)
        table: Table[Any] = Table(self, name, record_type, offset, count, option)
        if fresh:
            table.format(classes or {})
        self.tables[name] = table
        return table

    # --- locks by name

    def named_lock(self, kind: str, key: str, instance: int, size: int, build: Callable[[int], None]) -> int:
        """Offset of the lock record of this name; ``build(offset)`` formats it the first time."""
        base, _ = self.area("lock registry")
        rows = memoryview(self.mapping).cast("Q")[(base + _native.LAYOUT["hd_mutex"][0]) // 8 :]
        wanted = int.from_bytes(_digest(f"{kind}:{key}:{instance}"), "little") | 1
        with _native.Mutex(self.native, base):
            for i in range(_LOCK_NAMES):
                at = (wanted + i) % _LOCK_NAMES * 2
                if rows[at] == wanted:
                    return int(rows[at + 1])
                if rows[at] == 0:
                    offset = self.native.allocate(size, 64)
                    if not offset:
                        raise ArenaError(f"arena {self.name!r} has no room for {kind} {key!r}")
                    build(offset)
                    rows[at + 1] = offset
                    rows[at] = wanted
                    return int(offset)
        raise TableFull("lock registry", _LOCK_NAMES, "")

    def _lock(self, kind: str, name: str, instance: int, options: dict[str, Any]) -> Any:
        found = self._locks.get((kind, name, instance))
        if found is None:
            found = self._locks[(kind, name, instance)] = self.makers[kind](self, name, instance, **options)
        return found

    def mutex(self, class_name: str, instance: int = 0, **options: Any) -> Any:
        """The mutex of this class and number (rank=, may_sleep=, nest= when the class is new)."""
        return self._lock("mutex", class_name, instance, options)

    def rwlock(self, class_name: str, instance: int = 0, **options: Any) -> Any:
        """The read/write lock of this class and number."""
        return self._lock("rwlock", class_name, instance, options)

    def channel(self, class_name: str, instance: int = 0, **options: Any) -> Any:
        """The sleep/wakeup channel of this class and number."""
        return self._lock("channel", class_name, instance, options)


def _round(n: int, to: int) -> int:
    return (n + to - 1) // to * to


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=7).digest()


def _attach_path(boot_id: int, where: str) -> Arena:
    return _OPEN.get(boot_id) or Arena._map(where)


def _open_memfd(name: str, total: int) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(f"hangdog:{name}", flags | 0x0008)  # MFD_NOEXEC_SEAL, Linux 6.3
    except OSError:
        try:
            fd = os.memfd_create(f"hangdog:{name}", flags)
        except OSError as error:
            raise CannotRunHere(f"this kernel gives no memfd: {error.strerror}") from None
    os.fchmod(fd, 0o600)
    _fill(fd, total, "shared memory")
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def _open_file(path: Path, total: int) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BadInput(f"arena file {str(path)!r} exists already", "hangdog run --arena-file NEW") from None
    except OSError as error:
        raise BadInput(
            f"cannot create arena file {str(path)!r}: {error.strerror}", "hangdog run --arena-file NEW"
        ) from None
    try:
        _fill(fd, total, str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return fd


def _fill(fd: int, total: int, what: str) -> None:
    """Take the memory now: later a lack of it would be a SIGBUS, not an error."""
    try:
        os.ftruncate(fd, total)
        os.posix_fallocate(fd, 0, total)
    except OSError as error:
        os.close(fd)
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT):
            raise
        raise CannotRunHere(
            f"no {total} bytes left in {what}: {error.strerror}", "hangdog run --pages 512"
        ) from None


def _verify(fd: int, where: str) -> int:
    """Magic, version, size, fingerprint; returns the boot id."""
    size = os.fstat(fd).st_size
    if size < ctypes.sizeof(native.Header):
        raise NotAnArena(where, f"{size} bytes are too few for a header")
    header = native.Header.from_buffer_copy(os.pread(fd, ctypes.sizeof(native.Header), 0))
    if bytes(header.magic).rstrip(b"\0") != b"hangdog\x01":
        raise NotAnArena(where, "its first bytes are not an arena's")
    if header.version != _native.CONSTANTS["VERSION"]:
        raise NotAnArena(where, f"version {header.version}, this build reads {_native.CONSTANTS['VERSION']}")
    if header.size != size:
        raise NotAnArena(where, f"the header says {header.size} bytes, there are {size}")
    if header.fingerprint != native_fingerprint():
        raise StaleArena(header.name.decode(errors="replace"), int(header.fingerprint), native_fingerprint())
    return int(header.boot_id)


def _find_in(pid: int) -> str:
    """/proc path of the arena of a process."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        raise NoAccess(f"process {pid}", "there is no such process") from None
    except PermissionError:
        raise NoAccess(f"process {pid}", "it belongs to another user") from None
    for entry in entries:
        try:
            if os.readlink(entry).startswith("/memfd:hangdog:"):
                return str(entry)
        except OSError:
            continue  # closed meanwhile
    for entry in entries:
        try:
            if _is_arena_file(entry):
                return str(entry)
        except OSError:
            continue
    raise NotAnArena(f"process {pid}", "it has no arena open")


def _is_arena_file(entry: Path) -> bool:
    target = Path(os.readlink(entry))
    if not target.is_file():
        return False
    with target.open("rb") as file:
        return file.read(8) == b"hangdog\x01"


def find_arenas() -> list[tuple[int, str]]:
    """(pid, /proc path) of every process of this user with an arena, one row per process."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            found.append((int(folder.name), _find_memfd(folder / "fd")))
        except (OSError, LookupError):
            continue  # ended meanwhile, or another user's
    return sorted(found)


def _find_memfd(folder: Path) -> str:
    for entry in folder.iterdir():
        if os.readlink(entry).startswith("/memfd:hangdog:"):
            return str(entry)
    raise LookupError(folder)
