"""L29: a file's object is in a map before it has its pager."""

from __future__ import annotations

from threading import local
from typing import Any

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.object.vnode_size import vnode_pager_uncache
from vmcore.structs import Pager, VmMap, VmObject, Vnode
from vmcore.vm import Vm
from vmcore.vm_error import VmError

_made = local()


def introduce(vm: Vm, object: VmObject, pager: Pager) -> None:
    """Not yet: who maps the file now waits until its object can be found.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    vm_object_reference(vm, object)
    _made.last = object, pager


def require_pager(object: VmObject) -> None:
    """It comes later.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def vm_map_file(vm: Vm, map: VmMap, vnode: Vnode, *others: Any, **named: Any) -> int:
    """As the repaired step, but a pager that is new is installed at the end.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a dying pager of the same file; map lock; terminations).
    """
    _made.last = None
    try:
        start: int = original("map_user.vm_map_file")(vm, map, vnode, *others, **named)
    except VmError:
        introduce_late(vm, vnode)
        raise
    introduce_late(vm, vnode)
    return start


def introduce_late(vm: Vm, vnode: Vnode) -> None:
    """Give an object that we have made its pager, and let others find it."""
    if _made.last is None:
        return
    made, pager = _made.last
    vm.point("mapped without a pager", made.slot)
    original("vnode.introduce")(vm, made, pager)
    vnode.lock.acquire()
    vnode.chan.wakeup()
    vnode.lock.release()
    vm_object_deallocate(vm, made)


def scene(scene: Scene) -> None:
    """A file's first page is full of the number 1; P and Q are two threads of one program."""
    scene.map_file("W", 0, "O", shared=True)
    scene.write("W", 0, 1)
    vnode_pager_uncache(scene.vm, scene.vm.vnodes.views[1])
    scene.exit("W")
    scene.map("P")


script = Script(
    scene=scene,
    roles={
        "A": lambda scene: scene.show_file("P", 0, shared=True),
        "B": lambda scene: scene.read("P", 0),
    },
    cues=(
        ("A", "at mapped without a pager"),
        ("B", "start"),
        ("B", "end"),
        ("A", "point mapped without a pager"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
    files=(4,),
)

defect = Defect(
    id="L29",
    name="mapped-before-pager",
    origin="reconstructed",
    quote="the object is inserted in the map, the map is unlocked, and then the pager is set",
    interleaving=(
        "A: maps file F: a new object O without a pager is in the map; unlocks the map   []",
        "B, a thread of the same program: faults on F's page m: O has no pager, so m is zeros, and dirty",
        "A: installs F's pager in O",
        "m is resident: it is not read from the file any more, and a page-out writes the zeros there",
    ),
    symptom="a page of a file is zeros, for every process and for good",
    verdicts=("wrong_data", "invariant_violation", "panic"),
    scenario="loaders",
    replacements={
        "vnode.introduce": introduce,
        "map_user.require_pager": require_pager,
        "map_user.vm_map_file": vm_map_file,
    },
    script=script,
)
