"""The time stamp of a map moves whenever it is locked to be changed: a look without the lock can tell."""

import pytest

from tests.vmcore.builders_device import map_device
from tests.vmcore.builders_files import vnode
from tests.vmcore.builders_objects import BASE, entry_at, fork, read, space_of, va
from vmcore.constants import KERN_SUCCESS, VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE, VM_PROT_READ
from vmcore.map.map import vm_map_remove
from vmcore.object.object_cache import cache_clear
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_protect import vm_map_inherit, vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.vmspace import space_map, vmspace_exit

NEW = 0x100000


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4096,))


def wire(vm, space, yes):
    assert vm_map_pageable(vm, space_map(vm, space), va(vm, 1), va(vm, 3), yes) == KERN_SUCCESS


CHANGES = {
    "allocate": lambda vm, space: vm_allocate(vm, space_map(vm, space), vm.page_size, NEW),
    "deallocate": lambda vm, space: vm_deallocate(vm, space_map(vm, space), va(vm, 1), vm.page_size),
    "remove": lambda vm, space: vm_map_remove(vm, space_map(vm, space), va(vm, 1), va(vm, 2)),
    "map a file": lambda vm, space: vm_map_file(vm, space_map(vm, space), vnode(vm), 4096, address=NEW),
    "map a name": lambda vm, space: vm_map_named(vm, space_map(vm, space), 7, 4096, 0, NEW),
    "map a device": lambda vm, space: map_device(vm, space=space),
    "move": lambda vm, space: vm_map_move(vm, space_map(vm, space), BASE, 4 * 4096, 6 * 4096, NEW),
    "discard": lambda vm, space: vm_map_discard(vm, space_map(vm, space), va(vm, 1), va(vm, 2)),
    "protect": lambda vm, space: vm_map_protect(vm, space_map(vm, space), va(vm, 1), va(vm, 2), VM_PROT_READ),
    "inherit": lambda vm, space: vm_map_inherit(
        vm, space_map(vm, space), va(vm, 1), va(vm, 2), VM_INHERIT_NONE
    ),
    "wire": lambda vm, space: wire(vm, space, True),
    "fork": lambda vm, space: vmspace_exit(vm, fork(vm, space)),
    "the first fault makes the object": lambda vm, space: read(vm, space, 0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_a_map_moves_its_stamp(vm, change):
    space = space_of(vm, 4)
    before = space_map(vm, space).timestamp

    change(vm, space)

    assert space_map(vm, space).timestamp > before
    vmspace_exit(vm, space)
    cache_clear(vm)


def test_wiring_unwiring_and_forking_move_the_stamp_of_the_sharing_map(vm):
    space = space_of(vm, 4, inheritance=VM_INHERIT_SHARE)
    child = fork(vm, space)
    wire(vm, space, True)
    share = vm.sharing_maps(entry_at(vm, space, 1).object)
    stamps = [0, share.timestamp]

    wire(vm, space, False)
    stamps.append(share.timestamp)
    vm_map_inherit(vm, space_map(vm, child), va(vm, 0), va(vm, 4), VM_INHERIT_COPY)
    vmspace_exit(vm, fork(vm, child))
    stamps.append(share.timestamp)

    assert stamps == sorted(set(stamps))
    for one in (space, child):
        vmspace_exit(vm, one)
