"""H15: a dying object is unlocked twice if it is a file's, and never if it is anonymous."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_INTERNAL
from vmcore.structs import VmObject
from vmcore.vm import Vm


def unlock_terminated(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """As the repaired step, but after a test whether it was unlocked before, and the test is wrong.

    Enter:  anything.
    Exit:   anything.
    Takes:  nothing.
    Sleeps: never.
    """
    if not object.flags & OBJ_INTERNAL:
        object.lock.release()  # as page_clean was believed to do
        object.lock.release()


def scene(scene: Scene) -> None:
    """P has a little memory."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


script = Script(
    scene=scene,
    roles={"E": lambda scene: scene.exit("P")},
    cues=(("E", "enter terminate.unlock_terminated(O)"),),
)

defect = Defect(
    id="H15",
    name="terminate-unlock-mismatch",
    origin="documented",
    quote="terminate tested the wrong polarity of INTERNAL before it unlocked the object",
    interleaving=(
        "E: the last reference on an anonymous object O goes: terminate   [O]",
        "E: its pages are free; O is not unlocked, and its record goes back to the free ones   [O]",
        "X: waited for O's lock, or gets the record for a new object and locks it: waits for ever",
        "the same with a file's object: unlocked twice, by now perhaps while another thread has it",
    ),
    symptom="locks that are never released, in records that serve a new object by now",
    verdicts=("contract_violation", "self_deadlock", "deadlock", "order_violation", "panic"),
    scenario="fork-storm",
    replacements={"terminate.unlock_terminated": unlock_terminated},
    script=script,
)
