"""Devices that several processes use at once: one object each, and no page is lost."""

import time
from itertools import count

from harness.shm.roster import Roster
from tests.harness.actors import wait_until
from tests.vmcore.builders import Team, locked, services
from tests.vmcore.builders_device import PAGES, clear, map_device, object_of
from tests.vmcore.builders_files import asleep, show, store, thread
from tests.vmcore.builders_objects import fill, live_objects, space_of
from tests.waiting import LIMIT_S
from vmcore.audit.audit import audit
from vmcore.constants import OBJ_CANPERSIST
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_deallocate
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm_error import VmError


def test_a_mapping_that_meets_a_dying_device_waits_and_makes_a_new_pager(vm):
    obj = object_of(vm)
    before = vm.devices.views[1].pager
    with locked(obj):
        obj.flags &= ~OBJ_CANPERSIST  # the release ends it
        vm_object_paging_begin(vm, obj)
    found = []

    with thread(vm_object_deallocate, vm, obj):
        wait_until(lambda: asleep(obj.chan), "the sleep of the terminator")
        with thread(lambda: found.append(map_device(vm))):
            wait_until(lambda: asleep(vm.devices.views[1].chan), "the sleep of the new mapper")
            assert not vm.device_lock.locked()
            with locked(obj):
                vm_object_paging_end(vm, obj)

    assert vm.devices.views[1].pager not in (0, before)
    clear(vm, found[0][0])


def test_two_mappings_made_before_there_is_a_pager_get_one_object(vm):
    found = []
    vm.device_lock.acquire()

    with thread(lambda: found.append(object_of(vm))), thread(lambda: found.append(object_of(vm))):
        wait_until(lambda: waiting(vm, vm.device_lock) == 2, "both at the handle lock")
        vm.device_lock.release()

    assert found[0] is found[1]
    assert vm.pagers.in_use() == 1
    for obj in found:
        vm_object_deallocate(vm, obj)
    clear(vm)


def waiting(vm, lock):
    return Roster(vm.arena).waiting_for(lock.offset)


def pagers_made(vm):
    """A record's generation moves on with every life."""
    return sum(pager.generation for pager in vm.pagers.views)


def create(vm, me, rounds, enough):
    """Map, store one's own page of the device, and leave; the other's stores may come at any time.

    So many rounds, and more until there were ``enough()`` pagers: how often one finds the other's is the
    scheduler's choice.
    """
    until = time.monotonic() + LIMIT_S / 2
    for turn in count(1):
        if turn > rounds and (enough() or time.monotonic() > until):
            break
        space, start = map_device(vm)
        mine = start + me * vm.page_size
        assert store(vm, space, mine, turn)
        assert show(vm, space, mine) == turn
        vm_deallocate(vm, space_map(vm, space), mine, vm.page_size)
        vm_read(vm, space, start + (1 - me) * vm.page_size)
        vmspace_exit(vm, space)


def test_two_processes_that_map_a_device_at_once_make_one_object(vm_of):
    vm = vm_of(cache_max=0)  # so that every exit may end it, and every mapping create it
    team, before = Team(vm), pagers_made(vm)
    try:
        for me in range(2):
            team.start(f"creator {me}", create, me, 150, lambda: pagers_made(vm) > before + 20)
        said = team.wait()
    finally:
        team.kill()

    assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert pagers_made(vm) > before + 20, "one of the two always found the other's"
    assert vm.devices.views[1].pager == 0
    clear(vm)


def fault_on_device(vm, space, start, rounds):
    """Load and store wherever the device is mapped at the moment."""
    for turn in range(rounds):
        at = start + turn % PAGES * vm.page_size
        try:
            if turn % 3:
                vm_read(vm, space, at)
            else:
                store(vm, space, at, turn)
        except VmError:
            continue


def unmap_device(vm, space, start, rounds):
    for _ in range(rounds):
        vm_deallocate(vm, space_map(vm, space), start, PAGES * vm.page_size)
        map_device(vm, address=start, space=space)


def test_faults_on_a_device_against_unmap_in_one_space(vm_of):
    vm = vm_of(cache_max=0, pages=64)
    space, start = map_device(vm)
    other = space_of(vm, 40)  # so that the daemon looks at pages meanwhile
    with services(vm) as team:
        names = ["faults 1", "faults 2", "unmaps"]
        team.start(names[0], fault_on_device, space, start, 400)
        team.start(names[1], fault_on_device, space, start, 400)
        team.start(names[2], unmap_device, space, start, 100)
        fill(vm, other, {index: index for index in range(40)})
        said = team.wait(*names)
        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert audit(vm) == []
    assert len(live_objects(vm)) == 2
    clear(vm, space, other)
