"""Where nothing is broken, no look at any instant says anything."""

from collections.abc import Callable

import pytest

from tests.vmcore.builders import locked, reports
from tests.vmcore.builders_checked import checked_vm
from tests.vmcore.builders_files import mapped, show
from tests.vmcore.builders_objects import (
    below,
    chain,
    contents,
    fork,
    space_of,
    swap_out,
    top,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.object.object_cache import cache_clear
from vmcore.space.vmspace import vmspace_exit
from vmcore.vm import Vm


@pytest.fixture
def vm(vm_of: Callable[..., Vm]) -> Vm:
    return checked_vm(vm_of)


def test_ordinary_life_breaks_nothing(vm):
    parent, (reader, start) = space_of(vm, 3), mapped(vm, 2, True)
    for number in range(3):
        write(vm, parent, number, number + 1)
    swap_out(vm, top(vm, parent))
    children = [fork(vm, parent) for _ in range(2)]
    for number, child in enumerate(children):
        write(vm, child, number, 9)
    write(vm, parent, 2, 8)
    assert show(vm, reader, start) == 0
    assert contents(vm, children[0], 3) == [9, 2, 3]
    assert len(chain(vm, children[0])) == 2
    with locked(top(vm, parent)):
        assert below(vm, top(vm, parent)).slot in chain(vm, children[0])
    for space in (parent, *children):
        vmspace_exit(vm, space)
    vmspace_exit(vm, reader)

    assert audit(vm) == []
    cache_clear(vm)
    assert all_gone(vm) == []
    assert reports(vm) == []
