"""H7, third form: the grand object was unlocked through a pointer that had been cleared."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_COLLAPSING, OBJ_DYING
from vmcore.object.object import link_shadower, object_list_remove, unlink_shadower
from vmcore.object.overlay import abandon
from vmcore.structs import VmObject
from vmcore.vm import Vm


def dispose_of_backing(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but the grand object is found through backing when it is to be unlocked.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  object, object list, pool.
    Sleeps: never.
    """
    if backing.shadow:
        grand = vm.objects(backing.shadow)
        grand.lock.acquire()
        if grand.copy:
            grand.lock.release()
            abandon(vm, object, backing)
            return False
        unlink_shadower(vm, backing, grand)
        unlink_shadower(vm, object, backing)
        link_shadower(vm, object, grand)
        object.shadow = backing.shadow
        object.shadow_offset += backing.shadow_offset
    else:
        unlink_shadower(vm, object, backing)
        object.shadow = object.shadow_offset = 0
    backing.shadow = backing.ref_count = 0
    if backing.shadow:
        vm.objects(backing.shadow).lock.release()
    backing.flags |= OBJ_DYING
    object.flags &= ~OBJ_COLLAPSING
    backing.lock.release()
    object_list_remove(vm, backing)
    vm.objects.free(backing)
    vm.me.stats.object_collapses += 1
    return True


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does, and B shadows G."""
    scene.map("P", "G")
    scene.put("G", 0, 1)
    scene.shadow("P", "B", "O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "enter overlay.dispose_of_backing(B)"),
        ("A", "exit overlay.dispose_of_backing(B)"),  # G is locked
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H7c",
    name="collapse-rewrite-hang-leaked-lock",
    origin="reconstructed",
    quote=(
        "a rewrite of collapse, because of processes that hung; it unlocked the object that a pointer "
        "had named before it was cleared"
    ),
    interleaving=(
        "O shadows B, B shadows G; B has no other user",
        "A: overlay(O, B) locks G through B.shadow   [O B G]",
        "A: O shadows G now, B.shadow is cleared   [O B G]",
        "A: unlocks what B.shadow names, which is nothing   [O G]",
        "the thread that needs G next waits for a process that has long gone on",
    ),
    symptom="an object stays locked for ever after the collapse above it",
    verdicts=("contract_violation", "self_deadlock", "deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"overlay.dispose_of_backing": dispose_of_backing},
    script=script,
)
