"""L46: an object in the cache is referenced instead of looked up, and stays on the cached list."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def hold_hashed(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """As the repaired step, but the cached list is not touched.

    Enter:  vm.cache_lock locked; object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    object.ref_count += 1
    object.lock.release()


def scene(scene: Scene) -> None:
    """A file that had a user, and is in the cache; M has nothing."""
    scene.map_file("P", 0, "O", shared=True)
    scene.exit("P")
    scene.map("M")


script = Script(
    scene=scene,
    roles={"M": lambda scene: scene.show_file("M", 0, shared=True)},
    cues=(("M", "start"), ("M", "end")),
    files=(4,),
)

defect = Defect(
    id="L46",
    name="reference-on-cached",
    origin="reconstructed",
    quote="a plain reference revives an object whose count was zero, and leaves it among the cached ones",
    interleaving=(
        "the last user of file X leaves: X is appended to the cached list",
        "M: maps X: its count is 1, and it is on the list still   []",
        "T: trims the cache and finds a head with a user; or M leaves, and X is appended a second time",
    ),
    symptom="the head of the cached list has users, or the list runs into itself",
    verdicts=("invariant_violation", "panic"),
    scenario="exec-storm",
    replacements={"object_cache.hold_hashed": hold_hashed},
    script=script,
)
