"""L28: a private mapping calls the file's object anonymous for as long as it takes to copy it."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_INTERNAL
from vmcore.object.object_copy import Copy
from vmcore.structs import VmObject
from vmcore.vm import Vm


def vm_object_copy(
    vm: Vm, object: VmObject | None, offset: int, size: int, symmetric: bool = False
) -> Copy | None:
    """As the repaired step, but what ``symmetric`` asks for is done by a flag of the object.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, object list, pool, page queues, pv, pmap.
    Sleeps: never (it backs off briefly while another thread holds the copy-object).
    """
    copy = original("object_copy.vm_object_copy")
    if object is None or not symmetric:
        made: Copy | None = copy(vm, object, offset, size)
        return made
    object.lock.acquire()
    object.flags |= OBJ_INTERNAL
    object.lock.release()
    vm.point("anonymous for a moment", object.slot)
    made = copy(vm, object, offset, size)
    object.lock.acquire()
    object.flags &= ~OBJ_INTERNAL
    object.lock.release()
    return made


def scene(scene: Scene) -> None:
    """W has stored 1 to a file; M and N have nothing yet."""
    scene.map_file("W", 0, "O", shared=True)
    scene.write("W", 0, 1)
    scene.map("M")
    scene.map("N")


def as_stored(scene: Scene) -> None:
    """A private mapping that was never stored to shows the file."""
    scene.write("W", 0, 2)
    scene.expect("M", 0, 2)
    scene.expect("N", 0, 2)


script = Script(
    scene=scene,
    roles={"M": lambda scene: scene.show_file("M", 0), "N": lambda scene: scene.show_file("N", 0)},
    cues=(
        ("M", "at anonymous for a moment(O)"),
        ("N", "start"),
        ("N", "end"),
        ("M", "point anonymous for a moment(O)"),
    ),
    check=as_stored,
    files=(4,),
)

defect = Defect(
    id="L28",
    name="temporary-INTERNAL",
    origin="reconstructed",
    quote="a private mapping of a file sets INTERNAL on the file's object around the copy, unlocked",
    interleaving=(
        "M: maps file F privately: F's object O is INTERNAL now   []",
        "N: maps F privately too: O is INTERNAL, is copied like anonymous memory, and is not any more   []",
        "M: copies O: a file's object, so it gets a copy-object, and M's mapping is a snapshot",
        "W: stores to F, and M does not see it; a look at O meanwhile took it for private memory",
    ),
    symptom="a private mapping of a file goes on showing what others have overwritten",
    verdicts=("wrong_data", "invariant_violation", "panic", "leak"),
    scenario="placement",
    options={"checked": True},
    replacements={"object_copy.vm_object_copy": vm_object_copy},
    script=script,
    notes=(
        "In docs/reference a collapse in front of the file's object, or its last release, takes it for "
        "anonymous at that moment: its pages and its pager move, or dirty pages are dropped.  R's collapse "
        "also keeps away from whatever may be cached, and a copier holds a reference.  So what is "
        "shown is a third believer in the flag, a second private mapping: the harm is a snapshot instead of "
        "the file."
    ),
)
