"""L18: the head of the cached list is read, let go, and looked up again by its name."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.deallocate import pager_cache
from vmcore.object.object_cache import cache_clear, vm_object_lookup
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import an_object, panic


def trim_one(vm: Vm, limit: int) -> bool:
    """As the repaired step, but head, unlock, lookup, and a release with persistence cleared.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (termination writes file pages).
    """
    vm.cache_lock.acquire()
    head = vm.g.cached_first if vm.g.vm_object_cached > limit else 0
    vm.cache_lock.release()
    if not head:
        return False
    vm.point("head of the cached list", head)
    first: VmObject = vm.objects.views[head]
    found = vm_object_lookup(vm, vm.pagers(first.pager))
    if found is not first:
        raise panic(
            f"trim_one: confused, object {head} became {found.slot if found else 'none'}", an_object(head)
        )
    pager_cache(vm, first, False)
    return True


def scene(scene: Scene) -> None:
    """A file that had a user, and is in the cache."""
    scene.map_file("P", 0, "X", shared=True)
    scene.exit("P")


def trim(scene: Scene) -> None:
    """Empty the cache."""
    cache_clear(scene.vm)


script = Script(
    scene=scene,
    roles={"A": trim, "B": trim},
    cues=(
        ("A", "at head of the cached list(X)"),
        ("B", "start"),
        ("B", "end"),
        ("A", "point head of the cached list(X)"),
    ),
    files=(4,),
)

defect = Defect(
    id="L18",
    name="cache-trim-lookup-race",
    origin="reconstructed",
    quote="the trimmer reads the head of the list, unlocks, and looks the object up by its pager",
    interleaving=(
        "the cache is over its limit, its head is X",
        "A: reads the head X, unlocks   []",
        "B: trims too: looks X up, clears persistence, terminates and frees X",
        "A: reads X.pager of a freed record, or finds another object by it",
    ),
    symptom="an exiting process looks for an object that another one has just freed",
    verdicts=("panic", "unguarded_access", "invariant_violation"),
    scenario="exec-storm",
    replacements={"object_cache.trim_one": trim_one},
    script=script,
    notes="The harmless form, a live object that loses its place in the cache, is not looked for.",
)
