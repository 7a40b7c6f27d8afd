"""What a traced task does to its address space: one small tuple per operation.

Addresses and lengths are bytes; addresses are those of the recorded program, lengths multiples of
PAGE.  ``prot`` is READ | WRITE | EXECUTE with Mach's values.  ``task`` is an index into Plan.tasks,
``file`` one into Plan.files.  Every tuple carries its ``kind`` last, so a consumer may dispatch on
``op.kind`` or match on the class, and tuples of different classes are never equal.
"""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

PAGE = 4096


class OpKind(IntEnum):
    """The operations of a plan."""

    MAP_ANON = 0
    MAP_FILE = 1
    UNMAP = 2
    PROTECT = 3
    MREMAP = 4
    DONTNEED = 5
    LOCK = 6
    UNLOCK = 7
    MSYNC = 8
    EXEC = 9
    FORK = 10
    WAIT = 11
    AFTER = 12
    EXIT = 13


class MapAnon(NamedTuple):
    """Map zero-filled memory at addr, replacing what is there; heap growth by brk is one of these."""

    addr: int
    length: int
    prot: int
    shared: bool
    fixed: bool
    kind: OpKind = OpKind.MAP_ANON


class MapFile(NamedTuple):
    """Map length bytes of a file from offset at addr, replacing what is there."""

    addr: int
    length: int
    prot: int
    shared: bool
    fixed: bool
    file: int
    offset: int
    kind: OpKind = OpKind.MAP_FILE


class Unmap(NamedTuple):
    """Remove every mapping in the range; it may have holes, but something in it is mapped."""

    addr: int
    length: int
    kind: OpKind = OpKind.UNMAP


class Protect(NamedTuple):
    """Change the rights of a range that is mapped without holes."""

    addr: int
    length: int
    prot: int
    kind: OpKind = OpKind.PROTECT


class Mremap(NamedTuple):
    """Move or resize one anonymous mapping with its contents; new == old resizes it in place."""

    old: int
    old_length: int
    new: int
    new_length: int
    kind: OpKind = OpKind.MREMAP


class DontNeed(NamedTuple):
    """Forget the contents of private anonymous memory: it reads as zero afterwards."""

    addr: int
    length: int
    kind: OpKind = OpKind.DONTNEED


class Lock(NamedTuple):
    """Wire a range; length 0 means everything (mlockall)."""

    addr: int
    length: int
    kind: OpKind = OpKind.LOCK


class Unlock(NamedTuple):
    """Undo Lock; length 0 means everything (munlockall)."""

    addr: int
    length: int
    kind: OpKind = OpKind.UNLOCK


class Msync(NamedTuple):
    """Write back what is mapped in the range."""

    addr: int
    length: int
    kind: OpKind = OpKind.MSYNC


class Exec(NamedTuple):
    """Leave the address space and start a new one with these mappings: program, data, stack.

    ``seen`` is False for the one that starts a task whose execve is not in the log.
    """

    maps: tuple[MapAnon | MapFile, ...]
    seen: bool = True
    kind: OpKind = OpKind.EXEC


class Fork(NamedTuple):
    """Start a task.  share: in this address space (a thread, a vfork), else in a copy of it.

    wait_release: the parent goes on only when the child has done its first Exec or its Exit.
    """

    task: int
    share: bool
    wait_release: bool
    kind: OpKind = OpKind.FORK


class Wait(NamedTuple):
    """Go on only when the task has done its Exit."""

    task: int
    kind: OpKind = OpKind.WAIT


class After(NamedTuple):
    """Go on only when the task has done its first ``done`` operations.

    Orders tasks that share one address space where the recorded program did (by locks and joins that
    strace does not show): two changes of the same addresses must not change places.
    """

    task: int
    done: int
    kind: OpKind = OpKind.AFTER


class Exit(NamedTuple):
    """The last operation of every task.  The last user of an address space tears it down."""

    kind: OpKind = OpKind.EXIT


Op: TypeAlias = (
    MapAnon
    | MapFile
    | Unmap
    | Protect
    | Mremap
    | DontNeed
    | Lock
    | Unlock
    | Msync
    | Exec
    | Fork
    | Wait
    | After
    | Exit
)


def page_up(length: int) -> int:
    """Round length up to whole pages."""
    return -(-length // PAGE) * PAGE


def page_down(addr: int) -> int:
    """The address of the page that holds addr."""
    return addr // PAGE * PAGE
