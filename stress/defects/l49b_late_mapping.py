"""L49, second form: a fault tests for a copy-object, unlocks, and then enters its writable mapping."""

from __future__ import annotations

from harness.locks.contract import original
from harness.shm.checked import unguarded
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import VM_PROT_WRITE
from vmcore.fault.fault import vm_fault
from vmcore.fault.fault_state import FaultState
from vmcore.pmap.mmu import access
from vmcore.vm import Vm


def enter_page(vm: Vm, state: FaultState) -> int:
    """As the repaired step, but the object is unlocked for a moment before it.

    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    state.object.lock.release()
    vm.point("about to enter", state.page.slot)
    state.object.lock.acquire()
    result: int = original("fault.enter_page")(vm, state)
    return result


def scene(scene: Scene) -> None:
    """W shows a file, of which a page is clean, and so read-only; P has nothing."""
    scene.map_file("W", 0, "O", shared=True)
    scene.write("W", 0, 1)
    scene.clean("O")
    scene.map("P")


def store(scene: Scene) -> None:
    """Store 2 if the snapshot is there already, else 1."""
    vm, space = scene.vm, scene.space("W")

    def action(frame: memoryview) -> bool:
        with unguarded():
            frame[:] = scene.stamp(2 if scene.object("O").copy else 1)
        return True

    while access(vm, vm.pmaps(space.pmap), BASE, True, action) is None:
        vm_fault(vm, scene.amap("W"), BASE, VM_PROT_WRITE)


def from_before(scene: Scene) -> None:
    """The snapshot has nothing that was stored after it."""
    if scene.read("P", 0) == 2:
        scene.expect("P", 0, 1)


script = Script(
    scene=scene,
    roles={"P": lambda scene: scene.show_file("P", 0, copy=True), "W": store},
    cues=(
        ("W", "enter fault.enter_page(O)"),
        ("P", "start"),
        ("P", "end"),
        ("W", "point about to enter"),
    ),
    check=from_before,
    files=(4,),
)

defect = Defect(
    id="L49b",
    name="late-write-protect-fault",
    origin="reconstructed",
    quote="the fault enters its mapping after it has let go of the lock under which it looked for a copy",
    interleaving=(
        "W: a write fault on file page m: the object has no copy, nothing is to be pushed; unlocks   []",
        "P: takes a snapshot: copy-object C; every mapping of the file is made read-only   []",
        "W: enters its writable mapping of m, and stores: nothing was pushed to C",
        "P: reads m through C and finds W's store",
    ),
    symptom="a snapshot shows what was stored after it was taken",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="snapshots",
    options={"workers": 8},
    replacements={"fault.enter_page": enter_page},
    script=script,
)
