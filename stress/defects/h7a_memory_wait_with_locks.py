"""H7, first form: a collapse waited for memory with both objects locked."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.vm_wait import VM_WAIT
from vmcore.structs import VmObject
from vmcore.vm import Vm


def page_in_one(vm: Vm, object: VmObject, backing: VmObject, offset: int, mypip: int) -> bool:
    """As the repaired step, which gives up without a frame; this one waits for it, with both locks.

    Enter:  object, backing locked.
    Exit:   same (both dropped in between).
    Takes:  any.
    Sleeps: yes (memory, the read).
    """
    step = original("overlay.page_in_one")
    while not (done := step(vm, object, backing, offset, mypip)):
        if vm.g.v_free_count > vm.g.v_free_reserved or not VM_WAIT(vm):
            break
    return bool(done)


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B's page 0 and O's page 1 are in swap; every frame is O's."""
    scene.map("P", "B", pages=32)
    scene.put("B", 0, 1)
    scene.shadow("P", "O", pages=32)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")
    g = scene.vm.g  # no other object's: the daemon must find nothing before A looks at the free count
    for number in range(2, 2 + g.v_free_count - g.v_free_reserved):
        scene.put("O", number, number)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "enter overlay.page_in_one(O)"),
        ("A", "exit page.vm_page_alloc(B)"),  # no frame; the locks of both are held
        ("pageout", "enter pageout.vm_pageout_scan"),
    ),
    pages=32,
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H7a",
    name="collapse-rewrite-hang-memory",
    origin="reconstructed",
    quote="a rewrite of collapse, because of processes that hung; which of its waits hung is not said",
    interleaving=(
        "A: overlay(O, B) needs a frame for a page of B, and none is free   [O B]",
        "A: waits for memory   [O B]",
        "D: only pages of O and B could be written; their locks cannot be had, so they are skipped",
        "A, D: no thread will ever free a frame",
    ),
    symptom="under memory pressure the system stops, one process waiting for memory with objects locked",
    verdicts=("contract_violation", "deadlock", "lost_wakeup"),
    scenario="fork-storm",
    options={"pages": 56, "workers": 8},
    replacements={"overlay.page_in_one": page_in_one},
    script=script,
)
