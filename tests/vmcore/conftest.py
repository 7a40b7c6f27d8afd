"""Fixtures of the VM's tests: a small VM, and proof that the test left it in order."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.vmcore.builders import close_vm, leaks, make_vm
from vmcore.vm import Vm


@pytest.fixture
def vm_of() -> Iterator[Callable[..., Vm]]:
    """Make VMs of other sizes; each is checked after the test."""
    made: list[Vm] = []

    def build(**sizes: Any) -> Vm:
        made.append(make_vm(**sizes))
        return made[-1]

    yield build
    found = [line for vm in made for line in leaks(vm)]
    for vm in made:
        close_vm(vm)
    assert not found, "the test left behind:\n  " + "\n  ".join(found)


@pytest.fixture
def vm(vm_of: Callable[..., Vm]) -> Vm:
    """A small VM with contracts on: 128 frames, 2048 swap pages, no files, no services."""
    return vm_of()
