"""H31: the size of a file is tested first, and the file is locked afterwards."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import Vnode
from vmcore.vm import Vm


def lock_and_measure(vm: Vm, vnode: Vnode, offset: int) -> int:
    """As the repaired step, but the length is known before the vnode is locked.

    Enter:  vnode unlocked.
    Exit:   vnode locked.
    Takes:  vnode.
    Sleeps: yes (the vnode lock).
    """
    length = int(min(vm.page_size, vnode.v_size - offset))
    vm.point("size tested", vnode.slot)
    vm.point("wants the vnode", vnode.slot)
    vnode.lock.acquire()
    return length


def scene(scene: Scene) -> None:
    """P shows a file, and has stored to its third page."""
    scene.map_file("P", 0, "O", shared=True)
    scene.write("P", 2, 1)


def zeros_behind_the_old_end(scene: Scene) -> None:
    """What was cut away must not be there when the file grows."""
    scene.resize(0, 4)
    scene.expect("P", 2, 0)


script = Script(
    scene=scene,
    roles={"W": lambda scene: scene.clean("O"), "T": lambda scene: scene.resize(0, 1)},
    cues=(
        ("W", "point size tested"),
        ("T", "start"),
        ("T", "enter vnode_size.remove_beyond"),  # the file is short; soon T waits for W's page
        ("W", "point wants the vnode"),
    ),
    check=zeros_behind_the_old_end,
    files=(4,),
)

defect = Defect(
    id="H31",
    name="eof-race",
    origin="documented",
    quote="the size of the file must be looked at again once everything that can sleep is behind us",
    interleaving=(
        "W: a page-out of file page m: m lies before the end; waits for the vnode   []",
        "T: cuts the file before m   [vnode]",
        "W: writes m behind the end, and so makes the file longer again   [vnode]",
        "the file grows for good: m shows what was cut away, not zeros",
    ),
    symptom="what was cut off a file is there again when the file grows",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="cut-logs",
    replacements={
        "vnode_pager.lock_and_measure": lock_and_measure,
    },
    script=script,
)
