"""L45: named memory is anonymous, so a collapse may move the pager that its name stands for."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.oracles.at_rest import WrongData, require_done
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import (
    OBJ_COLLAPSING,
    OBJ_FADING,
    OBJ_INTERNAL,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
)
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_protect import vm_map_inherit
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.structs import VmObject
from vmcore.vm import Vm


def make_named(vm: Vm, name: int, size: int) -> VmObject | None:
    """As the repaired step, but the object stays INTERNAL.

    Enter:  vm.handle_lock locked.
    Exit:   same.
    Takes:  cache, object, pager, pool, object list.
    Sleeps: never.
    """
    made: VmObject | None = original("pager_named.make_named")(vm, name, size)
    if made is not None:
        made.lock.acquire()
        made.flags |= OBJ_INTERNAL
        made.lock.release()
    return made


def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, without the test of a name.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = backing.flags & (OBJ_INTERNAL | OBJ_FADING | OBJ_COLLAPSING)
    return bool(flags == OBJ_INTERNAL)


PLACE = BASE + 0x10000


def scene(scene: Scene) -> None:
    """P and Q have mapped one name."""
    vm = scene.vm
    for name in ("P", "Q"):
        scene.map(name)
        vm_map_named(vm, space_map(vm, scene.space(name)), 1, vm.page_size, 0, PLACE)


def copy_and_store(scene: Scene) -> None:
    """P's child gets a copy of the memory, then P stores to it."""
    vm, space = scene.vm, scene.space("P")
    amap, end = space_map(vm, space), PLACE + vm.page_size
    for inheritance in (VM_INHERIT_COPY, VM_INHERIT_SHARE):
        require_done("inherit", PLACE, vm_map_inherit(vm, amap, PLACE, end, inheritance))
        vmspace_exit(vm, vmspace_fork(vm, space))
    vm_write(vm, space, PLACE, scene.stamp(5))


def look(scene: Scene) -> None:
    """Q loads what P has stored."""
    if vm_read(scene.vm, scene.space("Q"), PLACE) != scene.stamp(5):
        raise WrongData(["what one user of a name has stored another one does not see"])


script = Script(scene=scene, roles={"P": copy_and_store, "Q": look}, cues=(("P", "end"), ("Q", "start")))

defect = Defect(
    id="L45",
    name="hash-compare-unlocked",
    origin="reconstructed",
    quote="the hash is compared under the cache lock, and a collapse moves pagers under object locks only",
    interleaving=(
        "P: maps named memory, object N with pager G, and its child gets a copy on demand",
        "P: stores to it: a shadow S -> N; all other users of N have left",
        "P: collapse(S): S takes over G   [S N]",
        "M: asks the hash for G, and compares N.pager while it changes: finds nothing, or a dying object",
    ),
    symptom="named memory that two users no longer share, or a name that no process can map any more",
    verdicts=("invariant_violation", "wrong_data", "lost_wakeup"),
    scenario="named-memory",
    replacements={
        "pager_named.make_named": make_named,
        "collapse.may_join": may_join,
    },
    notes="A thread that misses the hash waits, in R, until the pager of that name is gone: here, for ever.",
    script=script,
)
