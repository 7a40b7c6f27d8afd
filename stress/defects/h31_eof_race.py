"""H31: the size of a file is tested first, and the file is locked afterwards."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import VM_PAGER_BAD, VM_PAGER_ERROR, VM_PAGER_OK
from vmcore.pager.swap import pager_offset
from vmcore.structs import Pager, VmPage, Vnode
from vmcore.vm import Vm


def vnode_pager_getpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """As the repaired step, but the length is known before the vnode is locked.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the read under it).
    """
    offset, frame = pager_offset(vm, page), vm.frames[page.slot]
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    length = min(vm.page_size, vnode.v_size - offset)
    if length <= 0:
        return VM_PAGER_BAD
    vm.point("page in, size tested", page.slot)
    vnode.lock.acquire()
    came = vm.io.file_read(vnode.number, offset, frame[:length])
    vnode.lock.release()
    if came < 0:
        return VM_PAGER_ERROR
    frame[came:] = vm.zeros[came:]
    return VM_PAGER_OK


def vnode_pager_putpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """As the repaired step, but the length is known before the vnode is locked.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the write under it).
    """
    offset, frame = pager_offset(vm, page), vm.frames[page.slot]
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    length = min(vm.page_size, vnode.v_size - offset)
    if length <= 0:
        return VM_PAGER_BAD
    vm.point("page out, size tested", page.slot)
    vm.point("page out, wants the vnode", page.slot)
    vnode.lock.acquire()
    good = vm.io.file_write(vnode.number, offset, frame[:length])
    vnode.lock.release()
    return VM_PAGER_OK if good else VM_PAGER_ERROR


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
        ("W", "point page out, size tested"),
        ("T", "start"),
        ("T", "enter vnode_size.remove_beyond"),  # the file is short; soon T waits for W's page
        ("W", "point page out, wants the vnode"),
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
        "vnode_pager.vnode_pager_getpage": vnode_pager_getpage,
        "vnode_pager.vnode_pager_putpage": vnode_pager_putpage,
    },
    script=script,
)
