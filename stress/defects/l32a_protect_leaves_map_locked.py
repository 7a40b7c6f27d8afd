"""L32, first form: an error return of protect leaves the map locked."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import KERN_SUCCESS, VM_PROT_ALL, VM_PROT_READ
from vmcore.space.map_protect import vm_map_protect as protect
from vmcore.structs import VmMap
from vmcore.vm import Vm


def vm_map_protect(vm: Vm, map: VmMap, start: int, end: int, protection: int, set_max: bool = False) -> int:
    """As the repaired step, but after an error the map is locked.

    Enter:  nothing locked.
    Exit:   anything.
    Takes:  map, sharing map, map hint, map ref, object, pool, pv, pmap.
    Sleeps: yes (map lock).
    """
    code: int = original("map_protect.vm_map_protect")(vm, map, start, end, protection, set_max)
    if code != KERN_SUCCESS:
        map.lock.write()  # as if it had not been unlocked
    return code


def scene(scene: Scene) -> None:
    """P's memory may be read, and no more."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    protect(scene.vm, scene.amap("P"), BASE, BASE + scene.vm.page_size, VM_PROT_READ, True)


def ask_and_look(scene: Scene) -> None:
    """Ask for more than that, in vain, and look at the page."""
    protect(scene.vm, scene.amap("P"), BASE, BASE + scene.vm.page_size, VM_PROT_ALL)
    scene.expect("P", 0, 1)


script = Script(scene=scene, roles={"P": ask_and_look}, cues=(("P", "start"), ("P", "end")))

defect = Defect(
    id="L32a",
    name="protect-leaves-map-locked",
    origin="reconstructed",
    quote="one of the error returns of vm_map_protect forgets the unlock",
    interleaving=(
        "P: asks for rights that the range may not have: the map is locked, the answer is an error   [map w]",
        "P: goes on, as after every error, and does not know that it holds the map   [map w]",
        "P: its next call wants the map: it has it already",
    ),
    symptom="a program that made a mistake hangs in its next call, waiting for itself",
    verdicts=("self_deadlock", "contract_violation", "deadlock"),
    scenario="refusals",
    replacements={"map_protect.vm_map_protect": vm_map_protect},
    script=script,
)
