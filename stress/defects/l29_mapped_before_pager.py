"""L29: a file's object is in a map before it has its pager."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import (
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    OBJ_INTERNAL,
    PG_VNODE,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
)
from vmcore.map.map import vm_map_insert, vm_map_unlock_and_release
from vmcore.map.map_place import place_object
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_allocate, vm_object_setpager
from vmcore.object.object_cache import vm_object_enter
from vmcore.object.vnode import vnode_pager_alloc
from vmcore.object.vnode_size import vnode_pager_uncache
from vmcore.space.map_user import front_of_file
from vmcore.structs import Pager, VmMap, VmObject, Vnode
from vmcore.vm import Vm, release_later
from vmcore.vm_error import VmError


def make_object(vm: Vm, vnode: Vnode) -> VmObject | None:
    """As the repaired step, but object and pager do not know each other yet.

    Enter:  vnode locked.
    Exit:   same.
    Takes:  object, pool, object list.
    Sleeps: never.
    """
    pager: Pager | None = vm.pagers.allocate()
    if pager is None:
        return None
    size = -(-vnode.v_size // vm.page_size) * vm.page_size
    made = vm_object_allocate(vm, size)
    if made is None:
        vm.pagers.free(pager)
        return None
    pager.pg_type, pager.pg_handle = PG_VNODE, vm.vnodes.ref(vnode)
    pager.sw_osize, pager.sw_bsize, pager.vnp_size = size, 1, vnode.v_size
    made.lock.acquire()
    made.flags &= ~OBJ_INTERNAL
    made.lock.release()
    vnode.v_usecount += 1
    vnode.v_vmdata = vm.pagers.ref(pager)  # a later mapping of the file waits until the object can be found
    return made


def vm_map_file(
    vm: Vm,
    map: VmMap,
    vnode: Vnode,
    size: int,
    offset: int = 0,
    shared: bool = False,
    address: int | None = None,
    protection: int = VM_PROT_ALL,
    copy: bool = False,
) -> int:
    """As the repaired step, but the pager is installed at the end.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (a dying pager of the same file; map lock; terminations).
    """
    found = vnode_pager_alloc(vm, vnode)
    if found is None:
        raise VmError("vm_map_file", KERN_RESOURCE_SHORTAGE)
    inheritance = VM_INHERIT_SHARE if shared else VM_INHERIT_COPY
    map.lock.write()
    map.timestamp += 1
    code, start, shares = place_object(vm, map, found, offset, size, address)
    if code == KERN_SUCCESS:
        front, at = front_of_file(vm, found, offset, size, shared, copy)
        code = int(KERN_RESOURCE_SHORTAGE)
        if front is not None:
            end = start + size
            code = vm_map_insert(vm, map, front, at, start, end, protection, inheritance, not shared, copy)
            if code != KERN_SUCCESS:
                release_later(vm, front, False)
    vm_map_unlock_and_release(vm, map, shares)
    vm.point("mapped without a pager", found.slot)
    install(vm, vnode, found)
    vm_object_deallocate(vm, found)
    if code != KERN_SUCCESS:
        raise VmError("vm_map_file", code)
    return start


def install(vm: Vm, vnode: Vnode, object: VmObject) -> None:
    """Give a new object the pager that its vnode names, and let others find it."""
    vnode.lock.acquire()
    pager = vm.pagers(vnode.v_vmdata)
    object.lock.acquire()
    new = not object.pager
    if new:
        vm_object_setpager(vm, object, pager, 0)
    object.lock.release()
    if new:
        vm_object_enter(vm, object, pager)
        vnode.chan.wakeup()
    vnode.lock.release()


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
        "vnode.make_object": make_object,
        "map_user.vm_map_file": vm_map_file,
    },
    script=script,
)
