"""H23: anonymous objects are entered in the hash too, and so outlive their last user."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object_cache import vm_object_enter
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.structs import VmObject
from vmcore.vm import Vm


def ensure_pager(vm: Vm, object: VmObject) -> bool:
    """As the repaired step; a pager that it has made gets a place in the hash.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, pager, swap map, pool, channel, cache.
    Sleeps: never.
    """
    if object.pager:
        return True
    done: bool = original("object_pager.ensure_pager")(vm, object)
    if done and not object.is_hashed:
        vm_object_paging_begin(vm, object)
        pager = vm.pagers(object.pager)
        object.lock.release()
        vm_object_enter(vm, object, pager)
        object.lock.acquire()
        vm_object_paging_end(vm, object)
    return done


def scene(scene: Scene) -> None:
    """P has a dirty page."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


script = Script(
    scene=scene,
    roles={"D": lambda scene: scene.swap_out("O"), "E": lambda scene: scene.exit("P")},
    cues=(("D", "end"), ("E", "start")),
)

defect = Defect(
    id="H23",
    name="anonymous-on-hash",
    origin="documented",
    quote="unnamed anonymous objects are no longer entered in the object hash",
    interleaving=(
        "D: pages out the first page of a process's heap O: a new pager, and O is in the hash, may persist",
        "the process exits: O has no reference left, and goes to the cache instead of being freed",
        "no thread knows O's name: its memory and its swap are lost until the cache is trimmed",
    ),
    symptom="memory and swap of processes that have exited stay in use",
    verdicts=("invariant_violation", "leak", "panic"),
    scenario="fork-storm",
    replacements={"object_pager.ensure_pager": ensure_pager},
    script=script,
)
