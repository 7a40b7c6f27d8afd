"""The scene of a script: a few address spaces and objects in exactly the state that a mistake needs.

Built in the front process before any worker runs, with the VM's own functions; only the links of a
chain are laid by hand, because no program could leave one in every state that we want.  Names
stand for records by their references, so a scene travels to the workers as plain data.  A page's
contents are one number, repeated.
"""

from __future__ import annotations

from typing import Any

from harness.errors import Panic
from stress.oracles.at_rest import WrongData, require_done, wrong_data
from stress.script.scene_roles import SceneRoles
from vmcore.constants import KERN_RESOURCE_SHORTAGE, KERN_SUCCESS, PG_CLEAN, PG_FAKE, VM_PROT_NONE
from vmcore.map.map_entry import entry_object, vm_map_lookup_entry
from vmcore.object import collapse
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.object.shadow import vm_object_shadow
from vmcore.page.page import object_pages, vm_page_alloc, vm_page_free, vm_page_lookup
from vmcore.page.page_flags import clear_flags_o
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.page_wait import RELEASE_PAGE
from vmcore.pageout.pageout import scan_page
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_allocate, vm_map_file
from vmcore.space.vmspace import space_map, vmspace_alloc, vmspace_exit, vmspace_fork
from vmcore.structs import VmMap, VmMapEntry, VmObject, Vmspace
from vmcore.vm import Vm

BASE = 0x10000


def classify(stored: int, found: int) -> str:
    """What kind of loss it is, by the two numbers."""
    if not found:
        return "a store is lost: the page is as if no store had been made"
    if not stored:
        return "a store is seen that was never written"
    return "another store than the last is seen"


class Scene(SceneRoles):
    """Spaces, objects and pages by name."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.spaces: dict[str, int] = {}
        self.objects: dict[str, int] = {}
        self.pages: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the VM: the process that receives it has its own."""
        return {**self.__dict__, "vm": None}

    # --- records by name

    def space(self, name: str) -> Vmspace:
        """The space."""
        found: Vmspace = self.vm.vmspaces(self.spaces[name])
        return found

    def object(self, name: str) -> VmObject:
        """The object; StaleReference once it is gone."""
        found: VmObject = self.vm.objects(self.objects[name])
        return found

    def alive(self, name: str) -> bool:
        """Is the object still there?"""
        return is_there(self.vm.objects, self.objects[name])

    def addresses(self) -> dict[str, int]:
        """Names with the address of their record."""
        found: dict[str, int] = {}
        for names, views in (
            (self.spaces, self.vm.vmspaces.views),
            (self.objects, self.vm.objects.views),
            (self.pages, self.vm.pages.views),
        ):
            found |= {name: int(views[ref & 0xFFFFFFFF].address) for name, ref in names.items()}
        return found

    # --- building

    def map(self, name: str, object: str = "", pages: int = 4) -> None:
        """A new space with one region, whose object (called ``object``) is there already."""
        space = vmspace_alloc(self.vm)
        if space is None:
            raise Panic("no record left for a scene")
        self.spaces[name] = self.vm.vmspaces.ref(space)
        vm_allocate(self.vm, space_map(self.vm, space), pages * self.vm.page_size, BASE)
        if object:
            self.write(name, 0, 0)  # an object is made by the first fault
            self.call(name, object)
            self.drop(object, 0)

    def map_file(
        self,
        name: str,
        file: int,
        object: str = "",
        pages: int = 4,
        shared: bool = False,
        copy: bool = False,
    ) -> None:
        """A new space with one region, a file or a snapshot of it; its object is called ``object``."""
        space = vmspace_alloc(self.vm)
        if space is None:
            raise Panic("no record left for a scene")
        self.spaces[name] = self.vm.vmspaces.ref(space)
        self.show_file(name, file, pages, shared=shared, copy=copy)
        if object:
            self.call(name, object)

    def show_file(
        self, name: str, file: int, pages: int = 4, shared: bool = False, copy: bool = False
    ) -> None:
        """A space's region is a file from now on: shared, private, or as it is now (``copy``)."""
        vm, amap = self.vm, self.amap(name)
        size = pages * vm.page_size
        vm_map_file(vm, amap, vm.vnodes.views[file + 1], size, shared=shared, address=BASE, copy=copy)

    def amap(self, space: str) -> VmMap:
        """The map of a space."""
        return space_map(self.vm, self.space(space))

    def entry(self, space: str, at: int = BASE) -> VmMapEntry:
        """The entry of a space's region."""
        inside, slot = vm_map_lookup_entry(self.vm, self.amap(space), at)
        if not inside:
            raise Panic(f"space {space} has no region at {at:#x}")
        entry: VmMapEntry = self.vm.entries.views[slot]
        return entry

    def top(self, space: str) -> VmObject:
        """The object of a space's region."""
        found = entry_object(self.vm, self.entry(space))
        if found is None:
            raise Panic(f"the region of space {space} has no object")
        return found

    def call(self, space: str, object: str) -> None:
        """Give the object of a space's region a name."""
        self.objects[object] = self.vm.objects.ref(self.top(space))

    def shadow(self, space: str, *names: str, pages: int = 4, offset: int = 0) -> None:
        """Put new objects in front of a space's region, one after the other: the last one is on top."""
        amap = self.amap(space)
        amap.lock.write()
        entry = self.entry(space)
        for name in names:
            under = entry_object(self.vm, entry)
            front = vm_object_shadow(self.vm, under, offset * self.vm.page_size, pages * self.vm.page_size)
            if front is None:
                raise Panic("no record left for a scene")
            entry.object = self.objects[name] = self.vm.objects.ref(front)
        amap.lock.release()

    def branch(self, space: str, name: str, over: str, pages: int = 4) -> None:
        """A second space, whose region is a new object ``name`` in front of ``over``."""
        self.map(space, pages=pages)
        self.front(space, name, over, pages)

    def front(self, space: str, name: str, over: str, pages: int = 4, at: int = BASE) -> None:
        """The object of the region at this address is a new one, ``name``, in front of ``over``."""
        under = self.object(over)
        vm_object_reference(self.vm, under)
        amap = self.amap(space)
        amap.lock.write()
        entry = self.entry(space, at)
        front = vm_object_shadow(self.vm, under, 0, pages * self.vm.page_size)
        if front is None:
            raise Panic("no record left for a scene")
        old = entry_object(self.vm, entry)
        entry.object = self.objects[name] = self.vm.objects.ref(front)
        entry.offset = 0
        amap.lock.release()
        vm_object_deallocate(self.vm, old)

    def fork(self, parent: str, child: str) -> None:
        """A child of a space."""
        self.spaces[child] = self.vm.vmspaces.ref(vmspace_fork(self.vm, self.space(parent)))

    def put(self, object: str, number: int, value: int) -> None:
        """A dirty page in an object, wherever that lies in a chain."""
        vm, found = self.vm, self.object(object)
        found.lock.acquire()
        page = vm_page_alloc(vm, found, number * vm.page_size)
        if page is None:
            raise Panic("no frame left for a scene")
        vm.frame(page.slot)[:] = self.stamp(value)
        clear_flags_o(vm, page, PG_FAKE | PG_CLEAN)
        RELEASE_PAGE(vm, page)
        found.lock.release()

    def drop(self, object: str, number: int) -> None:
        """Free a page that no thread owns; what a pager has of it stays."""
        vm, found = self.vm, self.object(object)
        found.lock.acquire()
        page = vm_page_lookup(vm, found, number * vm.page_size)
        if page is not None:
            pmap_page_protect(vm, page, VM_PROT_NONE)
            vm.page_queue_lock.acquire()
            vm_page_free(vm, page)
            vm.page_queue_lock.release()
        found.lock.release()

    def fill(self, name: str) -> None:
        """A new space, or one without pages, takes every frame but those of the reserve."""
        g = self.vm.g
        if name not in self.spaces:
            self.map(name, pages=self.vm.config.pages)
        for number in range(g.v_free_count - g.v_free_reserved):
            self.write(name, number, number)

    def crowd(self, name: str) -> None:
        """A new space with pages enough for an idle daemon; beside a busy one a sweep judges nothing."""
        pages = self.vm.g.v_inactive_target + 1
        self.map(name, pages=pages)
        for number in range(pages):
            self.write(name, number, number)

    def swap_out(self, object: str) -> None:
        """Write all pages of an object to its pager, made now if need be, and free their frames."""
        vm, found = self.vm, self.object(object)
        found.lock.acquire()
        found.ref_count += 1
        collapse.vm_object_collapse_allowed = False  # the first page-out would, and undo the scene
        done = vm_object_page_clean(vm, found, 0, 0, True, False)
        collapse.vm_object_collapse_allowed = True
        if not done:
            raise Panic(f"the pages of {object} cannot be written")
        numbers = [page.offset // vm.page_size for page in object_pages(vm, found)]
        found.ref_count -= 1
        found.lock.release()
        for number in numbers:
            self.drop(object, number)

    # --- what roles do

    def stamp(self, value: int) -> bytes:
        """A page full of one number."""
        return value.to_bytes(8, "little") * (self.vm.page_size // 8)

    def write(self, space: str, number: int, value: int) -> None:
        """Store to a page of the region."""
        vm_write(self.vm, self.space(space), BASE + number * self.vm.page_size, self.stamp(value))

    def read(self, space: str, number: int) -> int:
        """Load a page of the region; WrongData when it is no page of one number."""
        data = vm_read(self.vm, self.space(space), BASE + number * self.vm.page_size)
        if data != data[:8] * (self.vm.page_size // 8):
            raise WrongData([f"page {number} of space {space} is torn"])
        return int.from_bytes(data[:8], "little")

    def expect(self, space: str, number: int, value: int) -> None:
        """Load a page and compare.  WrongData."""
        found = self.read(space, number)
        if found != value:
            va, what = BASE + number * self.vm.page_size, classify(value, found)
            text = f"page {number} of space {space} reads {found}, last stored was {value} ({what})"
            raise wrong_data(self.vm, self.space(space), va, text)

    def exit(self, space: str) -> None:
        """The process of a space leaves."""
        ref = self.spaces[space]
        if is_there(self.vm.vmspaces, ref):
            vmspace_exit(self.vm, self.vm.vmspaces(ref))

    def clean(self, object: str, sync: bool = True) -> None:
        """What msync does with an object: a reference for the time being, page_clean."""
        vm, found = self.vm, self.object(object)
        vm_object_reference(vm, found)
        found.lock.acquire()
        done = vm_object_page_clean(vm, found, 0, 0, sync, False)
        found.lock.release()
        vm_object_deallocate(vm, found)
        require_done("page_clean", BASE, KERN_SUCCESS if done else KERN_RESOURCE_SHORTAGE)

    def visit(self, object: str) -> int:
        """What the daemon does with an object's first page at two visits: age it, then judge it; its fate."""
        vm, found = self.vm, self.object(object)
        found.lock.acquire()
        page = object_pages(vm, found)[0]
        found.lock.release()
        vm.page_queue_lock.acquire()
        vm_page_deactivate(vm, page)
        fate: int = scan_page(vm, page)
        vm.page_queue_lock.release()
        return fate

    def leave(self) -> None:
        """Processes that are left exit."""
        for name in self.spaces:
            self.exit(name)


def is_there(table: Any, ref: int) -> bool:
    """Is the record live, and the one that the reference names?"""
    slot = ref & 0xFFFFFFFF
    return bool(table.is_live(slot) and table.ref(table.views[slot]) == ref)
