"""More of a scene: what the daemon and the maps do, as acts of a role."""

from __future__ import annotations

from collections.abc import Callable

from stress.oracles.at_rest import require_done
from vmcore.audit.sweep import collapse_below
from vmcore.object.vnode_size import vnode_pager_setsize
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.pageout.pageout import scan_page
from vmcore.pmap.pmap import pmap_clear_reference
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map
from vmcore.structs import VmMap, VmObject, VmPage, Vmspace
from vmcore.vm import Vm


class SceneRoles:
    """Acts on records by name; the rest of a scene is in ``Scene``."""

    vm: Vm
    space: Callable[[str], Vmspace]
    object: Callable[[str], VmObject]

    def region_map(self, space: str) -> VmMap:
        """The map of a space."""
        found: VmMap = space_map(self.vm, self.space(space))
        return found

    def age(self, object: str) -> None:
        """The pages of an object become inactive, and are not referenced any more."""
        vm = self.vm
        for page in self.pages_of(object):
            vm.page_queue_lock.acquire()
            vm_page_deactivate(vm, page)
            pmap_clear_reference(vm, page)
            vm.page_queue_lock.release()

    def scan(self, object: str) -> None:
        """What the daemon does with the first page of an object when it comes to it."""
        vm, page = self.vm, self.pages_of(object)[0]
        vm.page_queue_lock.acquire()
        scan_page(vm, page)
        vm.page_queue_lock.release()

    def collapse(self, object: str) -> None:
        """What a fault does below an object, without the fault."""
        collapse_below(self.vm, self.object(object))

    def resize(self, file: int, pages: int) -> None:
        """Cut a file, or let it grow."""
        vm = self.vm
        code = vnode_pager_setsize(vm, vm.vnodes.views[file + 1], pages * vm.page_size)
        require_done("setsize", 0, code)

    def map_anywhere(self, space: str, file: int, pages: int = 4) -> int:
        """Map a file as shared where the VM likes; the address."""
        vm = self.vm
        vnode = vm.vnodes.views[file + 1]
        at: int = vm_map_file(vm, self.region_map(space), vnode, pages * vm.page_size, shared=True)
        return at

    def pages_of(self, object: str) -> list[VmPage]:
        """The resident pages of an object."""
        vm, found = self.vm, self.object(object)
        found.lock.acquire()
        pages = object_pages(vm, found)
        found.lock.release()
        return pages
