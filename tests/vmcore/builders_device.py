"""Worlds of mapped devices."""

from tests.vmcore.builders_objects import empty_space
from vmcore.audit.audit import all_gone
from vmcore.constants import PG_FICTITIOUS
from vmcore.object.device import device_pager_alloc
from vmcore.object.object_cache import cache_clear
from vmcore.space.map_device import vm_map_device
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.structs import VmObject, Vmspace
from vmcore.vm import Vm

PAGES = 8  # of each device


def map_device(
    vm: Vm,
    number: int = 1,
    pages: int = PAGES,
    offset: int = 0,
    address: int | None = None,
    space: Vmspace | None = None,
) -> tuple[Vmspace, int]:
    """A part of a device in a space (a new one without ``space``), and where."""
    space = space or empty_space(vm)
    size = vm.page_size
    start = vm_map_device(
        vm, space_map(vm, space), vm.devices.views[number], pages * size, offset * size, address
    )
    return space, start


def object_of(vm: Vm, number: int = 1) -> VmObject:
    """The device's object, with a reference that is the caller's."""
    found = device_pager_alloc(vm, vm.devices.views[number], 0)
    assert found is not None
    return found


def object_shown(vm: Vm, number: int = 1) -> VmObject:
    """The device's object, without a reference."""
    found: VmObject = vm.objects(vm.pagers(vm.devices.views[number].pager).pg_object)
    return found


def clear(vm: Vm, *spaces: Vmspace) -> None:
    """Every process leaves: nothing is left, and every device has its pages back."""
    for space in spaces:
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert all_gone(vm) == []
    assert all(page.flags_o == PG_FICTITIOUS for page in vm.pages.views[vm.config.pages + 1 :])
    assert not any(page.wire_count for page in vm.pages.views[vm.config.pages + 1 :])
