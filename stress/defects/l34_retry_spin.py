"""L34: a thread that could not get the copy-object's lock tried again at once, and let no other thread in."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def let_holder_pass(vm: Vm, object: VmObject, tries: int) -> None:
    """As the repaired step, but no thread gets the object.

    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def scene(scene: Scene) -> None:
    """P's C is the snapshot of a file, S, whose page is in memory."""
    scene.map_file("W", 0, "S", shared=True)
    scene.write("W", 0, 1)
    scene.map("P")
    scene.show_file("P", 0, copy=True)
    scene.call("P", "C")


script = Script(
    scene=scene,
    roles={
        "W": lambda scene: scene.write("W", 0, 2),
        "R": lambda scene: scene.expect("P", 0, 1),
    },
    cues=(
        ("W", "enter fault_search.fault_search(S)"),  # it holds S
        ("R", "start"),
        ("R", "enter fault_search.descend(C)"),  # next it wants S
        ("W", "enter fault_push.fault_push(S)"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
    files=(4,),
    livelock_s=0.1,
)

defect = Defect(
    id="L34",
    name="retry-spin",
    origin="reconstructed",
    quote="read from the code: drop the source, take it again, try again, in a loop without a pause",
    interleaving=(
        "R: a fault on C, a copy-object that shadows S, holds C and wants S   [C], waits for S",
        "W: a push holds S and tries C, in vain   [S]",
        "W: tries again at once, and has not let go of S in between   [S]: R can never go on",
        "W: and so on for ever",
    ),
    symptom="two processes that make no progress, one of them at full speed",
    verdicts=("livelock",),
    scenario="snapshots",
    replacements={"fault_push.let_holder_pass": let_holder_pass},
    script=script,
    notes=(
        "In docs/reference W unlocks S and locks it again between two tries: with an unfair mutex it always "
        "wins.  Ours lets a waiter through in the end, so the switch leaves that unlock out: S stays locked."
    ),
)
