"""What a fault or a collapse asked before it let go of its locks is asked again, or given back, after."""

import pytest

from tests.vmcore.builders import failing, locked
from tests.vmcore.builders_objects import (
    below,
    chain,
    contents,
    fill,
    fork,
    read,
    resident,
    space_of,
    swap_out,
    swapped,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_PROTECTION_FAILURE, VM_PROT_READ
from vmcore.object.collapse import vm_object_collapse
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm_error import VmFault


def test_rights_that_were_taken_away_during_a_page_in_are_not_entered(vm_of):
    vm = vm_of(contracts=False)  # the hook takes locks in the middle of a read
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    swap_out(vm, top(vm, space))

    def protect(*_):
        vm.io.hook = None
        vm_map_protect(vm, space_map(vm, space), va(vm, 0), va(vm, 1), VM_PROT_READ)

    vm.io.hook = protect

    assert read(vm, space, 0) == 1
    with pytest.raises(VmFault) as caught:
        write(vm, space, 0, 2)
    assert caught.value.code == KERN_PROTECTION_FAILURE
    assert read(vm, space, 0) == 1
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_an_overlay_whose_page_cannot_be_read_leaves_no_page_of_it_behind(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    write(vm, parent, 1, 20)
    front, back = top(vm, parent), below(vm, top(vm, parent))
    swap_out(vm, front)
    swap_out(vm, back)
    free = vm.g.v_free_count
    vm.io.hook = failing("swap_read")

    vmspace_exit(vm, child)

    assert below(vm, front) is back, "the overlay was done"
    assert (resident(vm, back), vm.g.v_free_count) == ([], free)
    assert swapped(vm, back) == 2
    assert audit(vm) == []
    vm.io.hook = None
    with locked(front):
        assert vm_object_collapse(vm, front)[0] == 1
    assert chain(vm, parent) == [front.slot]
    assert contents(vm, parent, 3) == [1, 20, 3]
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []
