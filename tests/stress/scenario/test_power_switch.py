"""The power switch: services come back after a cut, and only after one; a shutdown leaves no store taken."""

import threading

from stress.ops.address_map import Range
from stress.ops.core import allocate, create_process, leave, write
from stress.scenario.power_switch import lay_down_switch, power_cut, power_on, serve, switch
from tests.vmcore.builders_files import thread
from tests.vmcore.builders_objects import swap_out
from vmcore.map.map_entry import entry_object
from vmcore.space.vmspace import space_map
from vmcore.vm import Vm

LIMIT_S = 30.0


def test_without_a_cut_a_loop_runs_once(world):
    runs: list[Vm] = []
    serve(world.vm, runs.append)
    lay_down_switch(world.arena)
    serve(world.vm, runs.append)

    assert len(runs) == 2


def test_a_service_waits_for_the_power_and_goes_on(world):
    runs: list[Vm] = []
    ended = threading.Event()
    switch(world.arena, 1)

    def loop(vm):
        runs.append(vm)
        ended.set()

    with thread(lambda: serve(world.vm, loop)):
        assert ended.wait(LIMIT_S)
        assert len(runs) == 1  # the switch is off: it cannot have begun again
        power_on(world.vm)

    assert len(runs) == 2


def test_a_power_cut_takes_the_store_of_memory_that_is_in_use(world, actor):
    vm, person = world.vm, create_process(actor)
    allocate(actor, person, Range(0x10000, 0x12000, 3))
    write(actor, person, 0x10000)
    entry = vm.entries.views[space_map(vm, person.space).first]
    found = entry_object(vm, entry)
    assert found is not None
    swap_out(vm, found)
    assert vm.pagers.in_use() == 1

    assert power_cut(vm) == 1

    assert (vm.pagers.in_use(), vm.g.swap_used) == (0, 0)
    power_on(vm)
    assert not vm.g.daemon_stop
    leave(actor, person)


def test_a_service_that_was_without_power_goes_on_however_soon_it_is_back(world):
    runs: list[Vm] = []
    switch(world.arena, 1)
    world.vm.point = lambda *_: power_on(world.vm)  # before the service sleeps

    serve(world.vm, runs.append)

    assert len(runs) == 2


def test_a_service_goes_on_when_the_power_is_back_before_it_has_looked(world):
    """Its loop has ended and it waits for a processor: the cut is over when it comes to the switch."""
    runs: list[Vm] = []
    lay_down_switch(world.arena)

    def loop(vm):
        runs.append(vm)
        if len(runs) == 1:
            switch(world.arena, 1)
            power_on(vm)

    serve(world.vm, loop)

    assert len(runs) == 2
