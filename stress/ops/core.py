"""What a simulated process may do: each function is one *step*, and keeps the content oracle's books.

A step tells the instrument what begins and that it ended (``native.begin`` / ``end``), so a dump
says what a stuck thread was about, and a lock that a step leaves behind is a finding.  When a step
fails its operation stays open on purpose: that is what the dump must show.

An ``Actor`` is one worker; a ``Process`` is used by one actor at a time, or by several when it is
*crowded* (threads).  Addresses are bytes, multiples of the page size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any, TypeAlias

from stress.ops.address_map import AddressMap, Range
from stress.oracles.at_rest import require_done, table_full, wrong_data
from stress.oracles.contents import (
    FILE_SPACES,
    SHARED_SPACES,
    ZERO,
    Journal,
    Mismatch,
    ObservationLog,
    Region,
    file_stamp,
)
from vmcore.constants import (
    OBJ_DYING,
    OBJ_FADING,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.space.vmspace import vmspace_alloc, vmspace_exec, vmspace_exit, vmspace_fork, vmspace_share
from vmcore.structs import VmMap, VmMapEntry, VmObject, Vmspace
from vmcore.vm import Vm

Where: TypeAlias = tuple[int, int, bytes]  # space, page there, initial stamp
ID_BITS = 22  # space numbers: worker << ID_BITS | running number


class Actor:
    """One worker: its Vm, its random numbers, and what it has seen."""

    def __init__(self, vm: Vm, number: int, rng: Random) -> None:
        self.vm, self.number, self.rng = vm, number, rng
        self.native = vm.arena.native
        self.page = vm.page_size
        self.witness = ObservationLog(vm.arena, number, vm.page_size)
        self._numbers = count(number << ID_BITS | 1)

    def new_number(self) -> int:
        """A number for a new space, which no other space has."""
        return next(self._numbers)


class Process:
    """A space, what is mapped in it, and what its pages must hold."""

    __slots__ = ("generation", "journal", "picture", "space")

    def __init__(self, space: Vmspace, picture: AddressMap, journal: Journal, generation: int = 0) -> None:
        self.space, self.picture, self.journal, self.generation = space, picture, journal, generation


def process_map(vm: Vm, process: Process) -> VmMap:
    """Its map."""
    found: VmMap = vm.maps(process.space.map)
    return found


# --- memory


def read(actor: Actor, process: Process, va: int) -> None:
    """Load the page at va, and check every byte of it."""
    native, vm, page = actor.native, actor.vm, va // actor.page
    native.begin("read", va)
    where = behind(actor, process, va) if page not in process.journal.private else None
    if where is None:
        data = vm_read(vm, process.space, va)
    else:
        data = actor.witness.load_shared(where[0], where[1], lambda: vm_read(vm, process.space, va))
    try:
        check(actor, process.journal, page, where, data)
    except Mismatch as error:
        raise wrong_data(vm, process.space, va, str(error)) from None
    native.end()


def check(actor: Actor, journal: Journal, page: int, where: Where | None, data: bytes) -> None:
    """Compare what was read with what must be there."""
    witness = actor.witness
    if where is None:
        witness.check_private(journal, page, data)
        return
    space, number, initial = where
    stamp = data[: len(ZERO)]
    if journal.loose and data == stamp * witness.repeat and journal.accepts(page, stamp, witness):
        witness.check_private(journal, page, data)  # a thread made the page private
        return
    witness.check_shared(space, number, data, initial)


def write(actor: Actor, process: Process, va: int) -> None:
    """Store a new stamp to the whole page at va; a load, when another worker stores to this shared page."""
    where = behind(actor, process, va, True)
    if where is not None:
        row = actor.witness.begin_store(where[0], where[1])
        if row is None:
            read(actor, process, va)
        else:
            write_shared(actor, process, va, where, row)
        return
    journal, witness, page = process.journal, actor.witness, va // actor.page
    actor.native.begin("write", va)
    stamp = witness.issue(journal.space, page)
    vm_write(actor.vm, process.space, va, stamp * witness.repeat)
    journal.wrote(page, stamp)
    actor.native.end()


def write_shared(actor: Actor, process: Process, va: int, where: Where, row: Any) -> None:
    """Store to a page that others may be reading; it is our turn."""
    space, number, _ = where
    witness = actor.witness
    actor.native.begin("write shared", va)
    stamp = witness.issue(space, number)
    vm_write(actor.vm, process.space, va, stamp * witness.repeat)
    witness.end_store(row)
    witness.wrote_shared(space, number, stamp)
    actor.native.end()


def behind(actor: Actor, process: Process, va: int, store: bool = False) -> Where | None:
    """What a shared page or a file's is called; None: the page is private."""
    pieces = process.picture.parts(va, va + 1)
    if not pieces:
        return None  # the caller will get a fault, and should
    piece = pieces[0]
    if piece.file >= 0:
        if store and not piece.shared:
            return None
        number = piece.offset // actor.page
        return FILE_SPACES + piece.file, number, file_stamp(piece.file, number)
    if piece.shared:
        region = process.journal.region(va // actor.page)
        if region is not None:
            return region.space, region.base + va // actor.page - region.first, ZERO
    return None


# --- address spaces


def create_process(actor: Actor) -> Process:
    """A process with an empty space."""
    actor.native.begin("be born")
    space = vmspace_alloc(actor.vm)
    if space is None:
        raise table_full(actor.vm, "vmspaces")
    process = Process(space, AddressMap(), Journal(actor.new_number()))
    actor.native.end()
    return process


def fork(actor: Actor, process: Process) -> Process:
    """A child with a copy of this memory."""
    actor.native.begin("fork", process.space.slot)
    space = vmspace_fork(actor.vm, process.space)
    journal = process.journal.fork(actor.new_number())
    child = Process(space, process.picture.copy(), journal, process.generation + 1)
    actor.native.end()
    return child


def share(actor: Actor, process: Process) -> Process:
    """A child in this very memory (vfork, thread); the caller decides whether it is crowded now."""
    actor.native.begin("share", process.space.slot)
    space = vmspace_share(actor.vm, process.space)
    child = Process(space, process.picture.copy(), process.journal, process.generation + 1)
    actor.native.end()
    return child


def execute(actor: Actor, process: Process) -> None:
    """Leave the memory and start with an empty one."""
    actor.native.begin("exec", process.space.slot)
    process.space = vmspace_exec(actor.vm, process.space)
    process.journal = Journal(actor.new_number())
    actor.native.end()


def leave(actor: Actor, process: Process) -> None:
    """Exit.  The process must not be used any more."""
    actor.native.begin("exit", process.space.slot)
    vmspace_exit(actor.vm, process.space)
    actor.native.end()


# --- mappings.  The picture is the caller's business where a trace keeps it (``draw`` is False).


def allocate(actor: Actor, process: Process, new: Range, draw: bool = True) -> None:
    """Map zero-filled memory at new.start, instead of whatever is there."""
    actor.native.begin("allocate", new.start)
    inherit = VM_INHERIT_SHARE if new.shared else VM_INHERIT_COPY
    length = new.end - new.start
    vm_allocate(actor.vm, process_map(actor.vm, process), length, new.start, new.prot, inherit)
    first, end = new.start // actor.page, new.end // actor.page
    process.journal.forget(first, end)
    if new.shared:
        number = SHARED_SPACES + actor.new_number()
        process.journal.regions.append(Region(first, end, number, 0))
    if draw:
        process.picture.map(new)
    actor.native.end()


def map_file(actor: Actor, process: Process, new: Range, draw: bool = True) -> None:
    """Map file number new.file from new.offset at new.start."""
    actor.native.begin("map file", new.start)
    vm = actor.vm
    vnode = vm.vnodes.views[new.file + 1]
    length = new.end - new.start
    vm_map_file(vm, process_map(vm, process), vnode, length, new.offset, new.shared, new.start, new.prot)
    process.journal.forget(new.start // actor.page, new.end // actor.page)
    if draw:
        process.picture.map(new)
    actor.native.end()


def unmap(actor: Actor, process: Process, start: int, end: int, draw: bool = True) -> None:
    """Unmap [start, end); what is half inside is clipped."""
    actor.native.begin("unmap", start)
    vm_deallocate(actor.vm, process_map(actor.vm, process), start, end - start)
    process.journal.forget(start // actor.page, end // actor.page)
    if draw:
        process.picture.unmap(start, end)
    actor.native.end()


def protect(actor: Actor, process: Process, start: int, end: int, prot: int, draw: bool = True) -> None:
    """Change the rights of [start, end)."""
    actor.native.begin("protect", start)
    code = vm_map_protect(actor.vm, process_map(actor.vm, process), start, end, prot)
    require_done("protect", start, code)
    if draw:
        process.picture.protect(start, end, prot)
    actor.native.end()


def move(actor: Actor, process: Process, old: int, old_length: int, new: int, new_length: int) -> None:
    """mremap; the picture is the caller's."""
    actor.native.begin("move", old)
    target = None if new == old else new
    vm_map_move(actor.vm, process_map(actor.vm, process), old, old_length, new_length, target)
    size, journal = actor.page, process.journal
    if new_length < old_length:
        journal.forget((old + new_length) // size, (old + old_length) // size)
    if target is not None:
        journal.forget(new // size, (new + new_length) // size)
        kept = min(old_length, new_length)
        journal.move(old // size, (old + kept) // size, new // size)
    actor.native.end()


def discard(actor: Actor, process: Process, start: int, end: int) -> None:
    """MADV_DONTNEED on private anonymous memory: zeros again."""
    actor.native.begin("discard", start)
    code = vm_map_discard(actor.vm, process_map(actor.vm, process), start, end)
    require_done("discard", start, code)
    process.journal.forget(start // actor.page, end // actor.page)
    actor.native.end()


def clean(actor: Actor, process: Process, start: int, end: int, sync: bool, below: bool = False) -> None:
    """msync: write dirty pages of [start, end) back; ``below``: of the objects behind the top ones."""
    actor.native.begin("clean", start)
    vm = actor.vm
    for target, first, last in held_objects(vm, process_map(vm, process), start, end, below):
        target.lock.acquire()
        vm_object_page_clean(vm, target, first, last, sync, False)
        target.lock.release()
        vm_object_deallocate(vm, target)
    actor.native.end()


def held_objects(vm: Vm, map: VmMap, start: int, end: int, below: bool) -> list[tuple[VmObject, int, int]]:
    """The objects of a range with a reference each, and the offsets that the range shows of them."""
    found = []
    map.lock.read()
    for entry, low, high in overlapping(vm, map, start, end):
        if not entry.is_a_map:
            found += hold(vm, entry, low, high, below)
            continue
        share = vm.sharing_maps(entry.object)
        share.lock.read()
        for inner, first, last in overlapping(vm, share, low, high):
            found += hold(vm, inner, first, last, below)
        share.lock.release()
    map.lock.release()
    return found


def overlapping(vm: Vm, map: VmMap, start: int, end: int) -> Iterator[tuple[VmMapEntry, int, int]]:
    """Entries that show something of [start, end), with the offsets they show; map read-locked."""
    slot, views = map.first, vm.entries.views
    while slot:
        entry = views[slot]
        low, high = max(entry.start, start), min(entry.end, end)
        if low < high and entry.object:
            yield entry, entry.offset + low - entry.start, entry.offset + high - entry.start
        slot = entry.next


def hold(vm: Vm, entry: VmMapEntry, low: int, high: int, below: bool) -> list[tuple[VmObject, int, int]]:
    """One reference on the entry's object (or on the one behind it), if it may have one more.

    It may not where the VM relies on the count: a FADING object has one referrer until its overlay
    is over, a DYING one has none for ever.
    """
    top: VmObject = vm.objects(entry.object)
    top.lock.acquire()
    if below and top.shadow:
        under = vm.objects(top.shadow)
        under.lock.acquire()
        low, high = low + top.shadow_offset, high + top.shadow_offset
        top.lock.release()
        top = under
    free = not top.flags & (OBJ_FADING | OBJ_DYING)
    if free:
        top.ref_count += 1
    top.lock.release()
    return [(top, low, high)] if free else []
