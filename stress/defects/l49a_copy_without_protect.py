"""L49, first form: a snapshot leaves every process's writable mappings of the file as they are."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_COPYONWRITE
from vmcore.page.page import object_pages
from vmcore.page.page_flags import set_flags_o
from vmcore.structs import VmObject
from vmcore.vm import Vm


def protect_source(vm: Vm, source: VmObject) -> None:
    """As the repaired step, but only the advisory flag is set.

    Enter:  source locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    for page in object_pages(vm, source):
        set_flags_o(vm, page, PG_COPYONWRITE)


def scene(scene: Scene) -> None:
    """W has stored 1 to a file; P has nothing yet."""
    scene.map_file("W", 0, "O", shared=True)
    scene.write("W", 0, 1)
    scene.map("P")


script = Script(
    scene=scene,
    roles={
        "P": lambda scene: scene.show_file("P", 0, copy=True),
        "W": lambda scene: scene.write("W", 0, 2),
    },
    cues=(("P", "end"), ("W", "start")),
    check=lambda scene: scene.expect("P", 0, 1),
    files=(4,),
)

defect = Defect(
    id="L49a",
    name="late-write-protect-copy",
    origin="reconstructed",
    quote="a copy makes its copy-object, and leaves it to the caller to protect other maps afterwards",
    interleaving=(
        "W has a writable mapping of file page m",
        "P: takes a snapshot: the file's object has a copy-object C   []",
        "W: stores to m through its mapping, without a fault: nothing is pushed to C",
        "P: reads m through C, misses, and finds the later store in the file's object",
    ),
    symptom="a snapshot shows what was stored after it was taken",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="snapshots",
    replacements={"object_copy.protect_source": protect_source},
    script=script,
)
