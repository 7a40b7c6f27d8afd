"""A process that looks into a space keeps the space, and ends it when all users have left meanwhile."""

from tests.vmcore.builders_objects import space_of
from vmcore.audit.audit import all_gone
from vmcore.space.map_user import vm_allocate
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.space.vmspace_look import vmspace_hold, vmspace_let_go, vmspace_size


def test_the_size_is_what_is_mapped(vm):
    space = space_of(vm, 3)
    vm_allocate(vm, space_map(vm, space), 2 * vm.page_size)
    vmspace_hold(vm, space)

    assert vmspace_size(vm, space) == 5 * vm.page_size

    vmspace_let_go(vm, space)
    assert vmspace_size(vm, space) == 5 * vm.page_size  # its user is still there
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_space_that_is_looked_into_outlives_its_last_user(vm):
    space = space_of(vm, 3)
    vmspace_hold(vm, space)

    vmspace_exit(vm, space)

    assert vmspace_size(vm, space) == 3 * vm.page_size
    assert vm.maps.in_use() == 1
    vmspace_let_go(vm, space)
    assert all_gone(vm) == []
