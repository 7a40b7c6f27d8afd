"""The store: real files, real reads and writes, and one place to make them slow or fail.

``vm.io.hook`` is called before each transfer with its kind (``"swap_read"``...), what it
is about (swap page or file number) and its length.  It may take its time; if it returns
False the transfer fails without having touched the store.  The hook belongs to this
process: a forked worker inherits it, others set their own.

``vm.io.result_hook`` is asked, with the pager's slot and offset, before a pager reads
(``"get"``), before it accepts a write (``"put"``), and before a disk worker does an
accepted one (``"disk"``: PEND sends it back behind all others).  What it returns, if
not None, is the answer, and the store is not touched.

Everything here blocks, so ``io_begin`` checks that no mutex is held that forbids it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from harness.errors import Panic
from vmcore.constants import VM_PAGER_AGAIN, VM_PAGER_ERROR, VM_PAGER_FAIL, VM_PAGER_PEND

Hook = Callable[[str, int, int], bool | None]
ResultHook = Callable[[str, int, int], int | None]

# What each question may be answered with.
INJECTABLE: Final[dict[str, tuple[int, ...]]] = {
    "get": (VM_PAGER_ERROR,),
    "put": (VM_PAGER_FAIL, VM_PAGER_ERROR, VM_PAGER_AGAIN),
    "disk": (VM_PAGER_ERROR, VM_PAGER_PEND),
}


class Store(Protocol):
    """What the transfers need of a VM."""

    native: Any
    page_size: int
    swap_fd: int
    files: list[int]


class Io:
    """The transfers of one process's view of a VM."""

    def __init__(self, vm: Store) -> None:
        self.vm = vm
        self.hook: Hook | None = None
        self.result_hook: ResultHook | None = None

    def swap_read(self, page: int, *memory: memoryview) -> bool:
        """Fill the pieces from consecutive swap pages, the first number ``page``; False is an I/O error."""
        at = page * self.vm.page_size
        return self._read("swap_read", page, self.vm.swap_fd, at, memory) == sum(map(len, memory))

    def swap_write(self, page: int, *memory: memoryview) -> bool:
        """Write the pieces to consecutive swap pages, the first number ``page``; False is an I/O error."""
        return self._write("swap_write", page, self.vm.swap_fd, page * self.vm.page_size, memory)

    def file_read(self, number: int, offset: int, *memory: memoryview) -> int:
        """Fill the pieces from file ``number``; how much came, -1 is an I/O error."""
        return self._read("file_read", number, self.vm.files[number], offset, memory)

    def file_write(self, number: int, offset: int, *memory: memoryview) -> bool:
        """Write the pieces to file ``number``; False is an I/O error."""
        return self._write("file_write", number, self.vm.files[number], offset, memory)

    def file_truncate(self, number: int, size: int) -> bool:
        """Make file ``number`` this long, new bytes being zeros; False is an I/O error."""
        native = self.vm.native
        native.io_begin("file_truncate")
        try:
            if self.hook is not None and self.hook("file_truncate", number, size) is False:
                return False
            os.ftruncate(self.vm.files[number], size)
        except OSError:
            return False
        finally:
            native.io_end()
        return True

    def result(self, kind: str, what: int, offset: int) -> int | None:
        """What the pager is to answer instead of doing the work; None: it does the work.

        Injected answers are honest ones only.  A page-in that said "no such data" of a page
        that is there would show old contents to a reader that could never know.
        """
        if self.result_hook is None:
            return None
        answer = self.result_hook(kind, what, offset)
        if answer is not None and answer not in INJECTABLE[kind]:
            raise Panic(f"a pager cannot answer {answer} to {kind}; it may answer {INJECTABLE[kind]}")
        return answer

    def _read(
        self, kind: str, what: int, descriptor: int, offset: int, memory: tuple[memoryview, ...]
    ) -> int:
        native = self.vm.native
        native.io_begin(kind)
        try:
            if self.hook is not None and self.hook(kind, what, sum(map(len, memory))) is False:
                return -1
            return os.preadv(descriptor, memory, offset)
        except OSError:
            return -1
        finally:
            native.io_end()

    def _write(
        self, kind: str, what: int, descriptor: int, offset: int, memory: tuple[memoryview, ...]
    ) -> bool:
        native, length = self.vm.native, sum(map(len, memory))
        native.io_begin(kind)
        try:
            if self.hook is not None and self.hook(kind, what, length) is False:
                return False
            return os.pwritev(descriptor, memory, offset) == length
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
