"""L4: a release took the object's lock first and the cache lock after it."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


def take_reference(vm: Vm, object: VmObject) -> int:
    """As the repaired step, object first.

    Enter:  nothing locked.
    Exit:   vm.cache_lock, object locked.
    Takes:  cache, object.
    Sleeps: never.
    """
    object.lock.acquire()
    vm.point("release: object locked", object.slot)
    vm.point("release: cache next", object.slot)
    vm.cache_lock.acquire()
    left: int = object.ref_count - 1
    if left < 0:
        raise panic(f"object {object.slot} is released more often than referenced", object)
    object.ref_count = left
    return left


def scene(scene: Scene) -> None:
    """P and Q map the same file, whose object is V."""
    scene.map_file("P", 0, "V", shared=True)
    scene.map_file("Q", 0, shared=True)


def map_it_too(scene: Scene) -> None:
    """Map the file, and leave."""
    scene.map_file("R", 0, shared=True)
    scene.exit("R")


script = Script(
    scene=scene,
    files=(4,),
    roles={"A": lambda scene: scene.exit("P"), "C": map_it_too},
    cues=(
        ("A", "point release: object locked(V)"),
        ("C", "enter object_cache.hold_hashed(V)"),  # the cache is locked; next comes V
        ("A", "point release: cache next(V)"),
    ),
)

defect = Defect(
    id="L4",
    name="retry-path-order-inversion",
    origin="reconstructed",
    quote="read from the code: the retry goes on with the orphan locked, and wants the cache",
    interleaving=(
        "A: releases a reference on V, the object of a file, and locks V   [V]",
        "C: maps the same file; the lookup locks the cache and wants V   [cache], waits for V",
        "A: locks the cache   [V], waits for the cache: A and C wait for each other",
    ),
    symptom="one process unmaps a file while another maps it, and both hang; soon every process does",
    verdicts=("deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"deallocate.take_reference": take_reference},
    script=script,
)
