"""H1: the object cache stayed locked during the search for an object to collapse."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.deallocate import collapse_above, last_reference
from vmcore.structs import VmObject
from vmcore.vm import Vm


def survive(vm: Vm, object: VmObject, via_shadow: bool) -> None:
    """As the repaired step, but the cache lock goes last.

    Enter:  vm.cache_lock, object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (collapse pages in, and every process that needs the cache lock waits for the disk, too).
    """
    if via_shadow or object.ref_count == 1:
        collapse_above(vm, object)
    else:
        object.lock.release()
    vm.cache_lock.release()


def after_collapse(vm: Vm, shadower: VmObject) -> None:
    """Drop the hold on the candidate by a nested deallocate, as the kernels of the time did.

    Enter:  shadower locked.
    Exit:   shadower unlocked.
    Takes:  any.
    Sleeps: yes (the nested call may terminate).
    """
    shadower.lock.release()
    vm.cache_lock.acquire()  # the first line of deallocate: the outer call has it already
    shadower.lock.acquire()
    shadower.ref_count -= 1
    if shadower.ref_count:
        shadower.lock.release()
        vm.cache_lock.release()
    else:
        last_reference(vm, shadower)


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, which shadows G."""
    scene.map("P", "G")
    scene.put("G", 0, 1)
    scene.shadow("P", "B", "T")
    scene.put("B", 1, 2)
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(("A", "enter deallocate.survive(B)"), ("A", "enter deallocate.candidate(B)")),
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="H1",
    name="cache-lock-during-candidate",
    origin="documented",
    quote="the object cache is unlocked before looking for candidates for collapse, not after",
    interleaving=(
        "T and S shadow B, B shadows G; the last user of S exits",
        "A: deallocate(S) ends S, then takes the cache lock and B, B.ref 2 -> 1, unlocks B   [cache]",
        "A: T is now alone above B: locks T   [cache T]",
        "A: collapse(T) overlays B; with a page in swap it sleeps for the disk   [cache]",
        "A: drops its hold by a nested deallocate, which takes the cache lock: A holds it",
    ),
    symptom="an exiting process waits for a lock that it holds; soon every process waits for the cache lock",
    verdicts=("self_deadlock", "contract_violation", "order_violation"),
    replacements={
        "deallocate.survive": survive,
        "deallocate.after_collapse": after_collapse,
    },
    script=script,
)
