"""H18: a copy pointer outlives the link that it describes."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def unlink_copy(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Leave ``backing.copy`` naming us.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def scene(scene: Scene) -> None:
    """P shows a file, Q has a snapshot of it."""
    scene.map_file("P", 0, "S", shared=True)
    scene.map_file("Q", 0, "C", copy=True)


script = Script(
    scene=scene,
    roles={"E": lambda scene: scene.exit("Q")},
    cues=(("E", "exit terminate.detach_and_drain(C)"),),
    files=(4,),
)

defect = Defect(
    id="H18",
    name="stale-copy-pointer",
    origin="reconstructed",
    quote=(
        "after a bypass the backing object's copy pointer still named the front; here bypass cannot "
        "meet a copy-object, so the link is cut by its death"
    ),
    interleaving=(
        "S.copy names C, the snapshot of a file; C's last user exits",
        "A: terminate(C) takes C out of S's shadowers and leaves S.copy as it is",
        "F: a write fault on S follows S.copy to a record that is free, or another object by now",
    ),
    symptom="a writer pushes pages into a dead object, or stops at the stale link",
    verdicts=("invariant_violation", "panic", "unguarded_access"),
    scenario="snapshots",
    replacements={"object.unlink_copy": unlink_copy},
    script=script,
)
