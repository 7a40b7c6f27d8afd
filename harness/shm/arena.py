"""One shared-memory segment with everything in it.

A sealed memfd named ``hangdog:<name>``: the kernel frees it with its last user, so
after kill -9 of every process nothing is left.  ``path=`` puts it in a file instead, to
be examined after a crash.  Attaching refuses a segment of another build's shape.
"""

import ctypes
import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import _native
from harness.errors import (
    ArenaError,
    BadInput,
    NotAnArena,
    OwnerDied,
    StaleArena,
    TableFull,
    require,
    require_whole,
)
from harness.shm import native, segment
from harness.shm.layout import fingerprint, native_fingerprint
from harness.shm.names import encoded, shown
from harness.shm.sharing import Sharing
from harness.shm.table import Table

MAX_NAME = 60
MAX_SEATS: int = _native.CONSTANTS["MAX_SEATS"]
_MAX_ENTRY_NAME = 47
_LOCK_NAMES = 1024
_LOCK_BYTES = _native.LAYOUT["hd_mutex"][0]
_REGISTRY_BYTES = _LOCK_BYTES + _LOCK_NAMES * 16
_REGISTRY = "lock registry"  # one mutex, then (hash, offset) pairs
_OPEN: dict[int, "Arena"] = {}  # boot id -> the arena of this process: a fork keeps its parent's mapping


class Arena(Sharing):
    """A segment of shared memory with locks, channels and records, for threads and processes.

    Made with ``create`` or ``attach``, or by a Session; a forked child has its parent's, and a pickled
    one is attached to.  ``name`` is that of ``create``; ``read_only``: a copy, or of an earlier boot.

    To build on it: ``native``: the extension's arena; ``header``: its first record; ``mapping``: its bytes,
    an mmap; ``fd``: the descriptor, -1: closed; ``where``: the path that others attach to; ``tables``:
    those that this process has opened; ``class_ids``: numbers of lock classes.
    """

    find_arenas = staticmethod(segment.find_arenas)

    def __init__(self, mapping: mmap.mmap, fd: int, where: str) -> None:
        self.mapping, self.fd, self.where = mapping, fd, where
        try:
            self.native = _native.Arena(mapping)
        except ValueError:  # its rows, or it was changed since it was verified
            raise NotAnArena(where, "its fixed tables are damaged") from None
        self.header: Any = native.Header.from_buffer(mapping)
        self.header.refusal = segment.refusal(self.header, fd, where)
        self.tables: dict[str, Table[Any]] = {}
        self.class_ids: dict[Any, int] = {}  # harness.locks: LockClass -> number here
        self._locks: dict[tuple[str, str, int], Any] = {}
        self._registry: _native.Mutex | None = None

    # --- making and finding

    @classmethod
    def create(
        cls, name: str, *, size: int = 1 << 20, seats: int = 128, path: str | Path | None = None
    ) -> "Arena":
        """A new arena with ``size`` bytes for tables beside the fixed ones, and room for ``seats`` threads.

        Errors: BadInput (name, size, seats, file), CannotRunHere (no memfd, no memory, disk full).
        """
        encoded("arena name", name, MAX_NAME)
        if "/" in name:  # it is part of a path below /proc
            raise BadInput(f"arena name {shown(name)} has a '/'")
        require_whole("size", size, 0)
        require_whole("seats", seats, 1, MAX_SEATS)
        require(path is None or isinstance(path, str | Path), "path", path, "a path, or None")
        own = _LOCK_BYTES + _LOCK_NAMES * 16 + 4096  # the registry, and alignment
        total = -(-(_native.fixed_size(seats) + size + own) // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = segment.new_file(Path(path), total) if path else segment.new_memfd(name, total)
        try:
            mapping = segment.mapped(fd, total)
            # Before the magic: no process may see an arena whose layout is not known yet.
            header = native.Header.from_buffer(mapping)
            header.fingerprint = native_fingerprint()
            segment.mark(header, fd)
            _native.format(mapping, name, seats, secrets.randbits(63) | 1)
            arena = cls(mapping, fd, str(path or f"/proc/{os.getpid()}/fd/{fd}"))
            arena._make_registry()
        except BaseException:
            os.close(fd)
            if path:
                Path(path).unlink(missing_ok=True)
            raise
        _OPEN[arena.header.boot_id] = arena
        return arena

    @classmethod
    def attach(
        cls, *, pid: int | None = None, fd: int | None = None, path: str | Path | None = None
    ) -> "Arena":
        """Map an existing arena: of a running process, by our own descriptor, or from a file.

        An arena that this process has mapped already (or inherited by fork) is given back as it is.
        A copy of an arena file, or one from before the last boot, is for reading (``read_only``).
        Errors: NoAccess (permission, no such process), NotAnArena (damaged, truncated), StaleArena.
        """
        if (pid is not None) + (fd is not None) + (path is not None) != 1:
            raise BadInput(f"attach takes one of pid={pid}, fd={fd}, path={path}")
        if pid is not None:
            return cls._map(segment.find_in(pid))
        return cls._map(f"/proc/self/fd/{fd}" if fd is not None else str(path))

    @classmethod
    def _map(cls, where: str) -> "Arena":
        fd = segment.open_segment(where)
        try:
            header = segment.verify(fd, where)
            known = _OPEN.get(header.boot_id)
            if known is None or not os.path.samestat(os.fstat(fd), os.fstat(known.fd)):
                arena = cls(segment.mapped(fd, header.size), fd, where)
                _OPEN.setdefault(header.boot_id, arena)  # a copy of a file has its original's boot id
                return arena
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return known

    def __reduce__(self) -> tuple[Any, ...]:
        if self.fd < 0:
            raise ArenaError(f"arena {self.name!r} is closed: no process could attach to it")
        return (attach_again, (int(self.header.boot_id), f"/proc/{os.getpid()}/fd/{self.fd}"))

    def __repr__(self) -> str:
        return f"<Arena {self.name!r} {self.header.size} bytes{' closed' if self.fd < 0 else ''}>"

    def close(self) -> None:
        """Give the descriptor back; no process can attach through this one any more.

        It does not unmap.  The kernel has a list, by address, of the robust locks of each thread, and
        the ``life`` of its seat is one: with the mapping gone, nothing would tell its end.  The
        calling thread leaves its seat if it holds nothing.  The memory goes when the last view of it is
        garbage and no thread of this process has a seat in it.
        """
        if _OPEN.get(self.header.boot_id) is self:
            del _OPEN[self.header.boot_id]
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if self.native.seat() and not self.native.depth():
                self.native.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what lies where

    @property
    def name(self) -> str:
        """The name given to ``create``."""
        return str(self.header.name.decode(errors="replace"))

    @property
    def read_only(self) -> bool:
        """A copy, or left over by an earlier boot: it can be read; asking for a lock is an ArenaError."""
        return bool(self.header.refusal)

    def directory(self) -> Iterator[Any]:
        """The entries in use, as native.Entry records."""
        base, size = self.header.directory, ctypes.sizeof(native.Entry)
        for i in range(min(self.header.directory_count, _native.CONSTANTS["DIRECTORY"])):
            yield native.Entry.from_buffer(self.mapping, base + i * size)

    def entry(self, name: str) -> Any | None:
        """The directory's entry of this name, or None."""
        wanted = name.encode(errors="surrogatepass")  # no entry has such a name: the answer is None
        return next((entry for entry in self.directory() if entry.name == wanted), None)

    def reserve(self, name: str, nbytes: int, align: int = 64) -> int:
        """Offset of the raw area ``name``: zeroed bytes, made at the first call of any process.

        Errors: TableFull (no room in the heap or the directory), ArenaError (it has another size).
        """
        if self.entry(name) is None:
            with self.exclusive():
                if self.entry(name) is None:
                    self._publish(name, self._take(name, nbytes, align), (nbytes, 1, 0))
        offset, found = self.area(name)
        if found != nbytes:
            raise ArenaError(f"area {name!r} of arena {self.name!r} has {found} bytes, not {nbytes}")
        return offset

    def area(self, name: str) -> tuple[int, int]:
        """(offset, bytes) of a raw area or table.  ArenaError when there is none of this name."""
        entry = self.entry(name)
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

        Slots are 1 to ``count``; slot 0 is null and never used.  ``count`` 0: as many as there are.
        ``classes`` gives the lock class of each embedded lock row of a new table, whose instance
        numbers are the slots.  Errors: StaleArena (another layout), ArenaError (another count, no such
        table), TableFull (no room; ``option`` is what made the table so big).
        """
        known = self.tables.get(name)
        if known is not None and known.record_type is record_type and count in (0, known.count):
            return known
        if self.entry(name) is None:
            with self.exclusive():
                if self.entry(name) is None:
                    self._create_table(name, record_type, count, option, classes or {})
        table = self._open_table(name, record_type, count, option)
        return self.tables.setdefault(name, table)

    def _create_table(
        self, name: str, record_type: Any, count: int, option: str, classes: dict[str, int]
    ) -> None:
        if count < 1:
            raise ArenaError(f"arena {self.name!r} has no table {name!r}")
        size, rows = ctypes.sizeof(record_type), count + 1
        offset = self._take(name, size * rows, 64, count, option)
        # Published when its locks work: an opener may use them at once.
        Table.format(self, record_type, offset, rows, classes)
        self._publish(name, offset, (size, rows, fingerprint(record_type)))

    def _open_table(self, name: str, record_type: Any, count: int, option: str) -> Table[Any]:
        entry, shape = self.entry(name), fingerprint(record_type)
        assert entry is not None
        if entry.fingerprint != shape or entry.record_size != ctypes.sizeof(record_type):
            raise StaleArena(f"{self.name}:{name}", int(entry.fingerprint), shape)
        if count not in (0, entry.count - 1):
            raise ArenaError(
                f"table {name!r} of arena {self.name!r} has {entry.count - 1} records, not {count}"
            )
        try:
            return Table(self, name, record_type, int(entry.offset), int(entry.count) - 1, option)
        except (ValueError, OverflowError):  # not aligned, or damaged since it was verified
            raise NotAnArena(self.where, f"its table {name!r} cannot lie at {entry.offset}") from None

    def _take(self, name: str, nbytes: int, align: int, count: int = 1, option: str = "") -> int:
        limit = _native.CONSTANTS["DIRECTORY"]
        encoded("name of a table or area", name, _MAX_ENTRY_NAME)
        if self.header.directory_count >= limit:
            raise TableFull("directory", limit, "")
        offset = self.native.allocate(nbytes, align)
        if not offset:
            error = TableFull(name, count, option)
            left = self.header.size - self.header.heap_next
            error.args = (
                f"arena {self.name!r} has no room for table {name!r}: "
                f"{count} records are {nbytes} bytes, {left} are left"
                + (f" ({option} decides how many)" if option else ""),
            )
            error.hint = f"hangdog run {option} {max(1, count // 2)}" if option else "hangdog ps"
            raise error
        return int(offset)

    def _publish(self, name: str, offset: int, record: tuple[int, int, int]) -> None:
        at = self.header.directory + self.header.directory_count * ctypes.sizeof(native.Entry)
        entry = native.Entry.from_buffer(self.mapping, at)
        entry.name, entry.offset = name.encode(), offset
        entry.record_size, entry.count, entry.fingerprint = record
        self.header.directory_count += 1  # last: a reader that sees the entry sees all of it

    # --- locks by name

    def _make_registry(self) -> None:
        offset = self._take(_REGISTRY, _REGISTRY_BYTES, 64)
        _native.Mutex.format(self.native, offset, self.native.declare_class("registry", 0, 0), 0)
        self._publish(_REGISTRY, offset, (_REGISTRY_BYTES, 1, 0))

    def exclusive(self) -> "Exclusive":
        """Guards directory and names: one thread of all processes at a time.  May be nested."""
        if self._registry is None:
            self._registry = _native.Mutex(self.native, self._registry_at())
        return Exclusive(self._registry)

    def _registry_at(self) -> int:
        offset, nbytes = self.area(_REGISTRY)
        if not self._in_heap(offset, _REGISTRY_BYTES) or nbytes != _REGISTRY_BYTES:
            raise NotAnArena(self.where, f"its {_REGISTRY} cannot lie at {offset}")
        return offset

    def _in_heap(self, offset: int, nbytes: int) -> bool:
        start = _native.fixed_size(self.header.seat_count)
        return offset % 8 == 0 and start <= offset <= self.header.size - nbytes

    def named_lock(self, kind: str, key: str, instance: int, size: int, build: Callable[[int], None]) -> int:
        """Offset of the lock record of this name; ``build(offset)`` formats it the first time.

        TableFull when the heap, or the registry of names, has no room.
        """
        at = self._registry_at() + _LOCK_BYTES
        rows = memoryview(self.mapping)[at : at + _LOCK_NAMES * 16].cast("Q")
        wanted = int.from_bytes(_digest(f"{kind}:{key}:{instance}"), "little") | 1
        # Nothing is added to what is only for reading: then what is there can be found without the mutex.
        with nullcontext() if self.read_only else self.exclusive():
            for i in range(_LOCK_NAMES):
                row = (wanted + i) % _LOCK_NAMES * 2
                if rows[row] == wanted:
                    found = int(rows[row + 1])
                    if not self._in_heap(found, size):
                        raise NotAnArena(self.where, f"its {kind} {key!r} cannot lie at {found}")
                    return found
                if rows[row] == 0:
                    if self.read_only:
                        raise ArenaError(f"arena {self.name!r}, which is for reading, has no {kind} {key!r}")
                    offset = self._take(f"{kind} {key}"[:_MAX_ENTRY_NAME], size, 64)
                    build(offset)
                    rows[row + 1] = offset
                    rows[row] = wanted  # last
                    return offset
        raise TableFull("lock registry", _LOCK_NAMES, "")


class Exclusive:
    """The registry's mutex for the length of a block; no effect where this thread has it already."""

    def __init__(self, mutex: _native.Mutex) -> None:
        self.mutex = mutex
        self.mine = False

    def __enter__(self) -> None:
        if self.mutex.held():
            return
        try:
            self.mutex.acquire()
        except OwnerDied:
            # Everything in here is published by its last store: what the dead one was about
            # to add is whole or not there, and nothing needs repair.
            self.mutex.recover()
        self.mine = True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.mine:
            self.mutex.release()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=7).digest()


def attach_again(boot_id: int, where: str) -> Arena:
    """What a pickled arena becomes: the one of this process, or attached to through /proc."""
    return _OPEN.get(boot_id) or Arena._map(where)
