"""One of everything in checked mode: each record is written and read under its guard only.

A lock that is taken a line too late or let go a line too early changes no result here, where one
thread works alone; the checker names it.
"""

from collections.abc import Callable

import pytest

from tests.vmcore.builders_device import map_device
from tests.vmcore.builders_files import mapped, resize, show, store, vnode
from tests.vmcore.builders_objects import (
    contents,
    empty_space,
    fill,
    finish_writes,
    fork,
    page_out_step,
    read,
    space_of,
    va,
    write,
)
from vmcore.audit.audit import all_gone
from vmcore.constants import (
    KERN_SUCCESS,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
)
from vmcore.object.object_cache import cache_clear
from vmcore.object.vnode_size import vnode_pager_uncache
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_protect import vm_map_inherit, vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.msync import vm_map_clean
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm import Vm

PAGES = 4


@pytest.fixture
def vm(vm_of):
    return vm_of(checked=True, files=(PAGES * 4096,) * 2, devices=1)


def a_heap(vm: Vm) -> None:
    space = space_of(vm, 2)
    main = space_map(vm, space)
    fill(vm, space, {0: 1, 1: 2})
    vm_allocate(vm, main, 2 * vm.page_size, va(vm, 2))
    fill(vm, space, {2: 3, 3: 4})
    vm_map_protect(vm, main, va(vm, 1), va(vm, 2), VM_PROT_READ)
    vm_map_protect(vm, main, va(vm, 1), va(vm, 2), VM_PROT_ALL)
    page_out_step(vm)
    assert contents(vm, space, 4) == [1, 2, 3, 4]
    vm_map_discard(vm, main, va(vm, 0), va(vm, 1))
    vm_deallocate(vm, main, va(vm, 3), vm.page_size)
    moved = vm_map_move(vm, main, va(vm, 0), 3 * vm.page_size, 5 * vm.page_size)
    assert show(vm, space, moved + vm.page_size) == 2
    vmspace_exit(vm, space)


def forks(vm: Vm) -> None:
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    fill(vm, child, {0: 10})
    page_out_step(vm)
    grandchild = fork(vm, child)
    fill(vm, parent, {0: 4, 1: 5})
    fill(vm, grandchild, {0: 7, 1: 8, 2: 9})  # which bypasses what it hides
    assert contents(vm, child, 3) == [10, 2, 3]
    page_out_step(vm)
    vmspace_exit(vm, child)
    assert contents(vm, parent, 3) == [4, 5, 3]
    vmspace_exit(vm, parent)
    assert contents(vm, grandchild, 3) == [7, 8, 9]
    vmspace_exit(vm, grandchild)


def shared_memory(vm: Vm) -> None:
    one = space_of(vm, 2)
    fill(vm, one, {0: 1, 1: 2})
    vm_map_inherit(vm, space_map(vm, one), va(vm, 0), va(vm, 2), VM_INHERIT_SHARE)
    other = fork(vm, one)
    write(vm, other, 0, 5)
    assert read(vm, one, 0) == 5
    assert vm_map_pageable(vm, space_map(vm, other), va(vm, 0), va(vm, 2), True) == KERN_SUCCESS
    third = fork(vm, other)
    write(vm, third, 1, 6)
    assert vm_map_pageable(vm, space_map(vm, other), va(vm, 0), va(vm, 2), False) == KERN_SUCCESS
    for space in (one, other, third):
        vmspace_exit(vm, space)


def wired_memory(vm: Vm) -> None:
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2})
    page_out_step(vm)
    assert vm_map_pageable(vm, space_map(vm, space), va(vm, 0), va(vm, 3), True) == KERN_SUCCESS
    child = fork(vm, space)
    write(vm, space, 0, 3)
    assert contents(vm, child, 3) == [1, 2, 0]
    page_out_step(vm)
    assert vm_map_pageable(vm, space_map(vm, space), va(vm, 0), va(vm, 2), False) == KERN_SUCCESS
    vmspace_exit(vm, space)  # with a page still wired
    vmspace_exit(vm, child)


def files(vm: Vm) -> None:
    space, start = mapped(vm, PAGES, True)
    private, there = mapped(vm, PAGES, False)
    for page in range(PAGES):
        store(vm, space, start + page * vm.page_size, page + 1)
    store(vm, private, there, 9)
    end = start + PAGES * vm.page_size
    assert vm_map_clean(vm, space_map(vm, space), start, end, False, False) == (KERN_SUCCESS, 0)
    finish_writes(vm)
    assert vm_map_clean(vm, space_map(vm, space), start, end, True, True) == (KERN_SUCCESS, 0)
    page_out_step(vm)
    resize(vm, 2)
    resize(vm, PAGES)
    assert [show(vm, space, start + page * vm.page_size) for page in range(PAGES)] == [1, 2, 0, 0]
    vmspace_exit(vm, space)
    vmspace_exit(vm, private)
    assert vnode_pager_uncache(vm, vnode(vm))
    again, at = mapped(vm, PAGES, False)
    assert show(vm, again, at) == 1
    vmspace_exit(vm, again)


def snapshots(vm: Vm) -> None:
    writer, start = mapped(vm, PAGES, True)
    for page in range(PAGES):
        store(vm, writer, start + page * vm.page_size, 1)
    first, same, second = (empty_space(vm) for _ in range(3))
    at = [snapshot(vm, first), snapshot(vm, same)]  # the second finds nothing pushed
    store(vm, writer, start, 2)
    at.append(snapshot(vm, second))  # and this one goes in front
    store(vm, writer, start + vm.page_size, 3)
    page_out_step(vm)
    store(vm, writer, start + vm.page_size, 4)
    spaces = (first, same, second)
    assert [show(vm, space, va_) for space, va_ in zip(spaces, at, strict=True)] == [1, 1, 2]
    store(vm, first, at[0], 8)
    for space in (*spaces, writer):
        vmspace_exit(vm, space)


def snapshot(vm: Vm, space) -> int:
    size = PAGES * vm.page_size
    return vm_map_file(vm, space_map(vm, space), vnode(vm), size, 0, False, copy=True)


def named_memory(vm: Vm) -> None:
    one, other = empty_space(vm), empty_space(vm)
    here = vm_map_named(vm, space_map(vm, one), 7, 2 * vm.page_size)
    store(vm, one, here, 5)
    there = vm_map_named(vm, space_map(vm, other), 7, 2 * vm.page_size)
    page_out_step(vm)
    assert show(vm, other, there) == 5
    vmspace_exit(vm, one)
    vmspace_exit(vm, other)


def devices(vm: Vm) -> None:
    space, start = map_device(vm, pages=2)
    store(vm, space, start, 5)
    other, there = map_device(vm, pages=4)
    assert show(vm, other, there) == 5
    vmspace_exit(vm, space)
    vmspace_exit(vm, other)


WORK: tuple[Callable[[Vm], None], ...] = (
    a_heap, forks, shared_memory, wired_memory, files, snapshots, named_memory, devices,
)  # fmt: skip


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_every_record_is_met_under_its_guard(vm, work):
    work(vm)

    cache_clear(vm)
    assert all_gone(vm) == []


def test_a_page_out_without_a_pager_record_keeps_to_the_guards(vm_of):
    vm = vm_of(checked=True, pagers=1)
    first, second = space_of(vm, 1), empty_space(vm)
    vm_allocate(vm, space_map(vm, second), vm.page_size, va(vm, 0))
    for space in (first, second):
        write(vm, space, 0, 1)

    page_out_step(vm)

    assert contents(vm, first, 1) == contents(vm, second, 1) == [1]
    for space in (first, second):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []
