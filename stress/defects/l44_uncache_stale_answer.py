"""L44: the answer "no process uses this file" is believed a moment later, and the file is cut."""

from __future__ import annotations

from stress.defect import Defect
from stress.oracles.at_rest import WrongData
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.object.vnode_size import change_file, vnode_pager_cut_unused
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map
from vmcore.structs import Vnode
from vmcore.vm import Vm
from vmcore.vm_error import VmFault


def cut_unmapped(vm: Vm, vnode: Vnode, size: int) -> bool:
    """As the repaired step, but the answer of before the lock is good enough.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock; the file).
    """
    vm.point("no thread uses the file", vnode.slot)
    vnode.lock.acquire()
    done = change_file(vm, vnode, size)
    vnode.lock.release()
    return done


PLACE = BASE + 0x10000


def scene(scene: Scene) -> None:
    """P has some memory; the file is not mapped."""
    scene.map("P")


def cut(scene: Scene) -> None:
    """Empty the file, if no process uses it."""
    vnode_pager_cut_unused(scene.vm, scene.vm.vnodes.views[1], 0)


def run_program(scene: Scene) -> None:
    """Map the file while it is whole, and look at it."""
    vm, space = scene.vm, scene.space("P")
    vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 2 * vm.page_size, address=PLACE)
    try:
        vm_read(vm, space, PLACE + vm.page_size)
    except VmFault as fault:
        raise WrongData([f"a file that was mapped while it was whole is cut: {fault}"]) from None


script = Script(
    scene=scene,
    roles={"T": cut, "M": run_program},
    cues=(
        ("T", "enter deallocate.pager_cache"),
        ("M", "start"),
        ("M", "exit vnode.vnode_pager_alloc"),
        ("T", "exit vnode_size.vnode_pager_uncache"),
        ("T", "end"),
        ("M", "enter fault.vm_fault"),
    ),
    files=(2,),
)

defect = Defect(
    id="L44",
    name="uncache-stale-answer",
    origin="reconstructed",
    quote="that the file is unused was true when it was asked, and the file is cut on the strength of it",
    interleaving=(
        "T: asks whether any process uses file X: none does   []",
        "M: maps X, which is whole   []",
        "T: cuts X   [vnode]",
        "M: its program has no text any more",
    ),
    symptom="a program whose text is cut away while it runs, by a thread that had asked first",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="busy-texts",
    replacements={"vnode_size.cut_unmapped": cut_unmapped},
    script=script,
)
