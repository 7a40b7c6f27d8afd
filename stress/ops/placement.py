"""Steps: memory wherever there is room, and memory that may not be had."""

from __future__ import annotations

from collections.abc import Callable

from stress.ops.address_map import AddressMap, Range
from stress.ops.core import Actor, Process, process_map
from stress.oracles.at_rest import require_done
from stress.oracles.contents import Journal
from vmcore.constants import KERN_RESOURCE_SHORTAGE
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_map_file
from vmcore.space.vmspace import vmspace_alloc
from vmcore.vm_error import VmError


def allocate_anywhere(actor: Actor, process: Process, pages: int, prot: int) -> int:
    """Map zero-filled memory where the map finds room; the address."""
    actor.native.begin("allocate anywhere", pages)
    length = pages * actor.page
    start = vm_allocate(actor.vm, process_map(actor.vm, process), length, None, prot)
    process.journal.forget(start // actor.page, (start + length) // actor.page)
    process.picture.map(Range(start, start + length, prot))
    actor.native.end()
    return start


def map_file_anywhere(actor: Actor, process: Process, like: Range) -> int:
    """Map like.file from like.offset, as long as ``like``, where the map finds it best; the address."""
    actor.native.begin("map file anywhere", like.file)
    vm, length = actor.vm, like.end - like.start
    vnode = vm.vnodes.views[like.file + 1]
    start = vm_map_file(
        vm, process_map(vm, process), vnode, length, like.offset, like.shared, None, like.prot
    )
    process.journal.forget(start // actor.page, (start + length) // actor.page)
    process.picture.map(like._replace(start=start, end=start + length))
    actor.native.end()
    return start


def if_there_is_room(actor: Actor, step: Callable[[], object]) -> bool:
    """Do a step that may end in an orderly "no memory"; False when it did.

    What the step recorded before it failed must be true all the same, so only steps that do
    one thing belong here.
    """
    try:
        step()
    except VmError as error:
        if error.code != KERN_RESOURCE_SHORTAGE:
            raise
        actor.native.end()
        return False
    return True


def be_born_if_there_is_room(actor: Actor) -> Process | None:
    """A process with an empty space; None when there is no record for it."""
    actor.native.begin("be born")
    space = vmspace_alloc(actor.vm)
    actor.native.end()
    return None if space is None else Process(space, AddressMap(), Journal(actor.new_number()))


def protect_if_there_is_room(actor: Actor, process: Process, start: int, end: int, prot: int) -> bool:
    """Change the rights of all of [start, end); False when an entry could not be clipped: of nothing then."""
    actor.native.begin("protect", start)
    code = vm_map_protect(actor.vm, process_map(actor.vm, process), start, end, prot)
    actor.native.end()
    if code == KERN_RESOURCE_SHORTAGE:
        return False
    require_done("protect", start, code)
    process.picture.protect(start, end, prot)
    return True
