"""Worlds of mapped files, and truncations that a test leads."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.shm.roster import Roster
from tests.vmcore.builders import stamp
from tests.vmcore.builders_objects import empty_space, number
from vmcore.constants import KERN_PROTECTION_FAILURE, KERN_SUCCESS
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.object.vnode_size import vnode_pager_setsize
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map
from vmcore.structs import VmObject, Vmspace, Vnode
from vmcore.vm import Vm
from vmcore.vm_error import VmFault

LIMIT_S = 60.0


def vnode(vm: Vm, file: int = 0) -> Vnode:
    """The vnode of file number ``file``."""
    found: Vnode = vm.vnodes.views[file + 1]
    return found


def held(vm: Vm, file: int = 0) -> VmObject:
    """The file's object, with a reference that is the caller's."""
    found = vnode_pager_alloc(vm, vnode(vm, file))
    assert found is not None
    return found


def mapped(vm: Vm, pages: int, shared: bool, file: int = 0) -> tuple[Vmspace, int]:
    """A space that shows the first pages of a file, and where."""
    space = empty_space(vm)
    start = vm_map_file(vm, space_map(vm, space), vnode(vm, file), pages * vm.page_size, 0, shared)
    return space, start


def put(vm: Vm, page: int, value: int, file: int = 0) -> None:
    """Store a number to a page of the file itself, behind the VM's back (before it looks)."""
    os.pwrite(vm.files[file], stamp(vm, value), page * vm.page_size)


def on_disk(vm: Vm, page: int, file: int = 0) -> int:
    """The number that a page of the file itself is full of."""
    return number(os.pread(vm.files[file], vm.page_size, page * vm.page_size))


def disk_size(vm: Vm, file: int = 0) -> int:
    return os.fstat(vm.files[file]).st_size


def resize(vm: Vm, pages: int, file: int = 0) -> None:
    """Truncate or extend to whole pages; it must succeed."""
    assert vnode_pager_setsize(vm, vnode(vm, file), pages * vm.page_size) == KERN_SUCCESS


def show(vm: Vm, space: Vmspace, va: int) -> int | None:
    """The number of the page at va; None when the access is refused in an orderly way."""
    try:
        return number(vm_read(vm, space, va))
    except VmFault as fault:
        if fault.code != KERN_PROTECTION_FAILURE:
            raise
        return None


def store(vm: Vm, space: Vmspace, va: int, value: int) -> bool:
    """Store a number to the page at va; False when the access is refused in an orderly way."""
    try:
        vm_write(vm, space, va, stamp(vm, value))
    except VmFault as fault:
        if fault.code != KERN_PROTECTION_FAILURE:
            raise
        return False
    return True


def asleep(channel: Any) -> int:
    """How many sleep on the channel."""
    return Roster(channel.home).waiting_for(channel.offset)


@contextmanager
def thread(body: Callable[..., Any], *args: Any) -> Iterator[threading.Thread]:
    """Run beside the test; it must have ended when the block is left."""
    runner = threading.Thread(target=body, args=args, daemon=True)
    runner.start()
    yield runner
    runner.join(LIMIT_S)
    assert not runner.is_alive()


class Gate:
    """An I/O hook that holds the first transfer of one kind until the test lets it go."""

    def __init__(self, vm: Vm, kind: str) -> None:
        self.kind, self.reached, self.go = kind, threading.Event(), threading.Event()
        vm.io.hook = self

    def __call__(self, kind: str, _what: int, _length: int) -> None:
        if kind == self.kind and not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(LIMIT_S)
