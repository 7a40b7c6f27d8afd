"""vm_object_shutdown: every pager gives its store back, and nothing is left that names one."""

import pytest

from harness.errors import Panic
from tests.vmcore.builders import locked, services
from tests.vmcore.builders_files import mapped, on_disk, show, store
from tests.vmcore.builders_objects import (
    contents,
    empty_space,
    fill,
    live_objects,
    resident,
    space_of,
    swap_out,
    swapped,
    top,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_CANPERSIST, PG_FICTITIOUS
from vmcore.object.device import device_pager_alloc
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.shutdown import vm_object_shutdown
from vmcore.space.map_device import vm_map_device
from vmcore.space.map_named import vm_map_named
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork

FILE = 4 * 4096


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(FILE, FILE))


def world(vm):
    """One of everything that has a pager: swap, named swap, a file, a cached file, a device."""
    anonymous = space_of(vm, 3)
    fill(vm, anonymous, {0: 1, 1: 2, 2: 3})
    swap_out(vm, top(vm, anonymous))
    named = empty_space(vm)
    at = vm_map_named(vm, space_map(vm, named), 7, FILE)
    store(vm, named, at, 4)
    file, here = mapped(vm, 2, True)
    store(vm, file, here, 5)
    cached, there = mapped(vm, 2, True, file=1)
    store(vm, cached, there, 6)
    vmspace_exit(vm, cached)
    assert vm.g.vm_object_cached == 1
    device = empty_space(vm)
    start = vm_map_device(vm, space_map(vm, device), vm.devices.views[1], 2 * vm.page_size)
    store(vm, device, start, 8)
    return anonymous, named, file, device


def test_every_pager_goes_and_no_object_names_one(vm):
    spaces = world(vm)
    assert vm.pagers.in_use() == 5

    assert vm_object_shutdown(vm) == 4  # the cached file's went with its object

    assert vm.pagers.in_use() == vm.g.swap_used == vm.swap_blocks.in_use() == vm.g.named_first == 0
    assert vm.g.vm_object_cached == 0
    assert len(live_objects(vm)) == len(spaces)
    for obj in (vm.objects.views[slot] for slot in live_objects(vm)):
        assert not obj.pager
        assert not obj.is_hashed
        assert not obj.flags & OBJ_CANPERSIST
    assert vm.vnodes.views[1].v_vmdata == vm.devices.views[1].pager == 0
    assert on_disk(vm, 0, file=1) == 6
    assert audit(vm) == []
    for space in spaces:
        vmspace_exit(vm, space)
    assert all_gone(vm) == []  # nothing enters a cache that cannot find it again


def test_what_is_resident_stays_and_a_second_shutdown_finds_nothing(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2, 2: 3})
    swap_out(vm, top(vm, space), 1)
    assert swapped(vm, top(vm, space)) == 3

    assert (vm_object_shutdown(vm), vm_object_shutdown(vm)) == (1, 0)

    assert resident(vm, top(vm, space)) == [0, 2]
    assert contents(vm, space, 3) == [1, 0, 3]  # what only the pager held is lost
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_chain_loses_every_pager_in_it(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 2})
    swap_out(vm, top(vm, parent), 0)
    child = vmspace_fork(vm, parent)
    fill(vm, child, {0: 3})
    swap_out(vm, top(vm, child), 0)
    assert vm.pagers.in_use() == 2

    assert vm_object_shutdown(vm) == 2

    assert audit(vm) == []
    for space in (child, parent):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_devices_pages_go_back_to_it_and_out_of_every_map(vm):
    space = empty_space(vm)
    start = vm_map_device(vm, space_map(vm, space), vm.devices.views[1], 2 * vm.page_size)
    store(vm, space, start, 8)

    assert vm_object_shutdown(vm) == 1

    page = vm.pages.views[vm.config.pages + 1]
    assert (page.flags_o, page.wire_count, page.pv_first) == (PG_FICTITIOUS, 0, 0)
    vmspace_exit(vm, space)
    assert all_gone(vm) == []
    obj = device_pager_alloc(vm, vm.devices.views[1], 0)
    assert obj is not None
    again = empty_space(vm)
    start = vm_map_device(vm, space_map(vm, again), vm.devices.views[1], 2 * vm.page_size)
    assert show(vm, again, start) == 8
    assert vm_object_shutdown(vm) == 1
    obj.ref_count -= 1
    vmspace_exit(vm, again)
    assert all_gone(vm) == []


def test_it_refuses_while_a_daemon_runs_or_a_write_is_in_flight(vm):
    space = space_of(vm, 1)
    fill(vm, space, {0: 1})
    obj = top(vm, space)
    with locked(obj):
        obj.ref_count += 1
        assert vm_object_page_clean(vm, obj, 0, 0, False, False)  # its write stays in flight
        obj.ref_count -= 1

    with pytest.raises(Panic, match="page-out record"):
        vm_object_shutdown(vm)

    record = next_write(vm)
    assert record is not None
    write_record(vm, record)
    assert reap(vm, True) == 1
    vm.g.daemons += 1
    with pytest.raises(Panic, match="1 daemons"):
        vm_object_shutdown(vm)
    vm.g.daemons -= 1
    assert vm.pagers.in_use() == 1
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_it_refuses_while_an_object_is_paging(vm):
    space = space_of(vm, 1)
    fill(vm, space, {0: 1})
    obj = top(vm, space)
    swap_out(vm, obj)
    with locked(obj):
        vm_object_paging_begin(vm, obj)

    with pytest.raises(Panic, match="pages on object"):
        vm_object_shutdown(vm)

    assert not obj.lock.locked()
    assert not vm.cache_lock.locked()
    assert obj.pager
    with locked(obj):
        vm_object_paging_end(vm, obj)
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def work(vm):
    """Enough for the daemon: more pages than frames, one's own store in swap."""
    space = space_of(vm, 60)
    fill(vm, space, {page: page for page in range(60)})
    assert contents(vm, space, 60) == list(range(60))


def test_after_the_services_have_stopped_it_ends_what_their_work_has_left(vm_of):
    vm = vm_of(pages=48)
    with services(vm) as team:
        team.start("worker", work)
        said = team.wait("worker")
        assert said == {"worker": "fine"}, said["worker"]
    assert vm.g.swap_used > 0

    assert vm_object_shutdown(vm) == 1

    assert vm.g.swap_used == vm.pagers.in_use() == 0
    assert audit(vm) == []
    for space in list(vm.vmspaces.live()):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []
