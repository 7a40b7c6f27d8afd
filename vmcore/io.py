"""The store: real files, real reads and writes, and one place to make them slow or fail.

``vm.io.hook`` is called before each transfer with its kind (``"swap_read"``...), what it
is about (swap page or file number) and its length.  It may take its time; if it returns
False the transfer fails without having touched the store.  The hook belongs to this
process: a forked worker inherits it, others set their own.

Everything here blocks, so ``io_begin`` checks that no mutex is held that forbids it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmcore.vm import Vm

Hook = Callable[[str, int, int], bool | None]


class Io:
    """The transfers of one process's view of a VM."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.hook: Hook | None = None

    def swap_read(self, page: int, memory: memoryview) -> bool:
        """Fill memory from swap page number ``page``; False is an I/O error."""
        at = page * self.vm.page_size
        return self._read("swap_read", page, self.vm.swap_fd, at, memory) == len(memory)

    def swap_write(self, page: int, memory: memoryview) -> bool:
        """Write memory to swap page number ``page``; False is an I/O error."""
        return self._write("swap_write", page, self.vm.swap_fd, page * self.vm.page_size, memory)

    def file_read(self, number: int, offset: int, memory: memoryview) -> int:
        """Fill memory from file ``number``; how much came, -1 is an I/O error."""
        return self._read("file_read", number, self.vm.files[number], offset, memory)

    def file_write(self, number: int, offset: int, memory: memoryview) -> bool:
        """Write memory to file ``number``; False is an I/O error."""
        return self._write("file_write", number, self.vm.files[number], offset, memory)

    def _read(self, kind: str, what: int, descriptor: int, offset: int, memory: memoryview) -> int:
        native = self.vm.arena.native
        native.io_begin(kind)
        try:
            if self.hook is not None and self.hook(kind, what, len(memory)) is False:
                return -1
            return os.preadv(descriptor, [memory], offset)
        except OSError:
            return -1
        finally:
            native.io_end()

    def _write(self, kind: str, what: int, descriptor: int, offset: int, memory: memoryview) -> bool:
        native = self.vm.arena.native
        native.io_begin(kind)
        try:
            if self.hook is not None and self.hook(kind, what, len(memory)) is False:
                return False
            return os.pwrite(descriptor, memory, offset) == len(memory)
        except OSError:
            return False
        finally:
            native.io_end()


def make_files(directory: str, sizes: Sequence[int]) -> list[int]:
    """Open one file of zeros per size and unlink it at once: nothing outlives a kill -9."""
    descriptors: list[int] = []
    try:
        for size in sizes:
            descriptor = nameless(directory or tempfile.gettempdir())
            descriptors.append(descriptor)
            os.ftruncate(descriptor, size)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors


def nameless(directory: str) -> int:
    """A file that never had a name, or, where the file system knows no such thing, had one briefly."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        descriptor, path = tempfile.mkstemp(prefix="hangdog-", dir=directory)
        os.unlink(path)
        return descriptor
