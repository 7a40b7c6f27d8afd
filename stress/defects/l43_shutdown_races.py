"""L43: the list of all objects stays locked while each of them is, and pagers go without being forgotten."""

from __future__ import annotations

from stress.defect import Defect
from stress.scenario.power_switch import lay_down_switch, power_on, switch
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore import shutdown
from vmcore.constants import PG_DEVICE
from vmcore.object.object_cache import cache_clear
from vmcore.page.vm_wait import stop_services
from vmcore.pager.pager import vm_pager_deallocate
from vmcore.shutdown import free_device_pages
from vmcore.structs import Pager
from vmcore.vm import Vm


def vm_object_shutdown(vm: Vm) -> int:
    """As the repaired step, but under the lock of the list, and no object forgets its pager.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the cache's objects write file pages).
    """
    cache_clear(vm)
    pagers: list[Pager] = []
    vm.object_list_lock.acquire()
    slot = vm.g.object_list_first
    while slot:
        found = vm.objects.views[slot]
        found.lock.acquire()
        if found.pager:
            pagers.append(vm.pagers(found.pager))
            if pagers[-1].pg_type == PG_DEVICE:
                free_device_pages(vm, found)
        found.lock.release()
        slot = found.object_list_next
    vm.object_list_lock.release()
    for pager in pagers:
        vm_pager_deallocate(vm, pager)
    return len(pagers)


def scene(scene: Scene) -> None:
    """P's memory is in swap; services look at a switch when they are told to leave."""
    lay_down_switch(scene.vm.arena)
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.swap_out("O")


def go_down(scene: Scene) -> None:
    """The end of the machine, and its next beginning."""
    switch(scene.vm.arena, 1)
    stop_services(scene.vm)
    shutdown.vm_object_shutdown(scene.vm)
    power_on(scene.vm)


script = Script(
    scene=scene,
    roles={"S": go_down, "E": lambda scene: scene.exit("P")},
    cues=(
        ("S", "exit vm_wait.stop_services"),
        ("pageout", "point without power"),
        ("disk", "point without power"),
        ("S", "enter shutdown.vm_object_shutdown"),
        ("S", "end"),
        ("E", "start"),  # O names a pager that has gone
    ),
)

defect = Defect(
    id="L43",
    name="shutdown-races",
    origin="reconstructed",
    quote="shutdown walks the list of all objects with its lock held, and locks each of them",
    interleaving=(
        "S: shutdown: works off the list, wants object O   [list]",
        "E: O's last user leaves: terminates O, takes it off the list   [O]",
        "S and E wait for each other; or S frees O's pager, and O names it still",
        "E: the termination of O gives the same pager back a second time",
    ),
    symptom="a machine that hangs or panics while it goes down",
    verdicts=("order_violation", "deadlock", "unguarded_access", "panic"),
    scenario="power-cuts",
    script=script,
    replacements={"shutdown.vm_object_shutdown": vm_object_shutdown},
)
