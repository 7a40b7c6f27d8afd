"""Checked VMs whose records tests break by hand, and what the release of a lock then says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.shm.checked import unguarded
from tests.vmcore.builders import allow_reports, reports
from vmcore.checked.records import InstantViolation
from vmcore.vm import Vm


def checked_vm(vm_of: Callable[..., Vm]) -> Vm:
    """A checked VM with one file of four pages; its test provokes the checker."""
    made = vm_of(checked=True, files=(4 * 4096,))
    allow_reports(made)
    return made


@contextmanager
def broken(record: Any, **fields: int) -> Iterator[None]:
    """The fields have other values for a while."""
    with unguarded():
        before = {name: getattr(record, name) for name in fields}
        for name, value in fields.items():
            setattr(record, name, value)
    yield
    with unguarded():
        for name, value in before.items():
            setattr(record, name, value)


def said_at_release(vm: Vm, lock: Any, within: int = 1) -> str:
    """What the release of the lock, held by us, says; the lock stays held.  At most so many releases."""
    said = len(reports(vm))
    for _ in range(within):
        try:
            lock.release()
        except InstantViolation as error:
            assert lock.held(), "the dump must show the thread that did it"
            assert len(reports(vm)) == said + 1, "a watcher would not see it"
            return str(error)
        lock.acquire()
    return ""
