"""What the guard letters of structs.py mean: the two questions behind each, for checked mode.

``install`` puts checked tables, pools and arrays in the place of plain ones, in this process.  Nothing
else of vmcore knows the difference.  Counters (Stats) and the boot record are left plain: the
first belong to one thread each, the second is written before another process attaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from harness.locks.held import held_names
from harness.shm.checked import Ask, CheckedPool, CheckedTable, Rules, checked_area
from harness.shm.native import Seat
from harness.shm.pool import Pool
from harness.shm.table import Table
from vmcore.checked.on_release import Observers, observers
from vmcore.constants import HASH_SPREAD, PG_FREE, PG_TABLED
from vmcore.structs import (
    ARRAYS,
    Pager,
    SwapBlock,
    VmMapEntry,
    VmObject,
    VmPage,
)
from vmcore.structs import (
    Mapping as MappingRecord,
)
from vmcore.vm import Vm

SLOT = 0xFFFFFFFF  # of a Ref
PLAIN = {"stats"}  # one row per thread
Pair = tuple[Ask, Ask]


def install(vm: Vm) -> None:
    """From here on every access of this process to a record of the VM is checked.

    A pool that has no rules here is a KeyError that names it; a table without any of its own has guards
    that are locks of the whole VM.
    """
    common = {letter: both(holds(lock)) for letter, lock in global_locks(vm).items()}
    rules, seen = RuleMaker(vm, common), observers(vm)
    for name, value in list(vars(vm).items()):
        checked: CheckedPool | CheckedTable
        if isinstance(value, Pool):
            checked = CheckedPool(value, watched(POOL_RULES[name](rules), seen, name))
        elif isinstance(value, Table) and name not in PLAIN:
            checked = CheckedTable(value, watched(TABLE_RULES.get(name, RuleMaker.rules)(rules), seen, name))
        else:
            continue
        setattr(vm, name, checked)
    vm.g = vm.globals_table[1]
    vm.pmap_buckets = FieldOfEach(vm.pmaps.views, "buckets")
    for name, (guard, table, element) in ARRAYS.items():
        own = AREA_RULES.get(name)  # else the lock is one of the whole VM
        meant = (own or RuleMaker.rules)(rules)
        plain, each = getattr(vm, name), own is not None
        setattr(vm, name, checked_area(vm.arena, table, element, guard, meant, plain, each))


class FieldOfEach:
    """``made[slot]`` is this field of that record: an array of arrays."""

    def __init__(self, views: Any, field: str) -> None:
        self.views, self.field = views, field

    def __getitem__(self, slot: int) -> Any:
        return getattr(self.views[slot], self.field)


def watched(rules: Rules, seen: Observers, name: str) -> Rules:
    """The rules of a table, with the observers of its views and writes."""
    return replace(rules, prepare=seen.prepare.get(name), wrote=seen.wrote.get(name, {}))


def global_locks(vm: Vm) -> dict[str, Any]:
    """Letters that mean one lock of the whole VM."""
    return {
        "P": vm.page_queue_lock, "F": vm.free_lock, "L": vm.object_list_lock, "C": vm.cache_lock,
        "I": vm.io_list_lock, "W": vm.swap_map_lock, "N": vm.pages_needed_lock, "D": vm.handle_lock,
        "E": vm.device_lock,
    }  # fmt: skip


def getter(field: Any) -> Callable[[Any], int]:
    """Read a field of any view of the record, past its check."""
    read: Callable[[Any], int] = field.__get__
    return read


def holds(lock: Any) -> Ask:
    """Is this one lock held, whatever the record?"""
    return lambda _view: bool(lock.held())


def both(ask: Ask) -> Pair:
    """One question for reading and writing: a mutex."""
    return ask, ask


class RuleMaker:
    """Rules by record type.  Plain views are kept from before: the questions must not ask questions."""

    def __init__(self, vm: Vm, common: Mapping[str, Pair]) -> None:
        self.vm, self.common = vm, common
        self.objects, self.pmaps = vm.objects.views, vm.pmaps.views
        self.pagers, self.vnodes = vm.pagers.views, vm.vnodes.views
        maps: list[Any] = [*vm.maps.views, *vm.sharing_maps.views]
        self.map_locks = {view.lock.offset: view.lock for view in maps}

    def rules(self, private: Ask | None = None, **letters: Pair) -> Rules:
        """Rules with letters of their own beside the common ones."""
        arena = self.vm.arena

        def held() -> str:
            return ", ".join(held_names(arena))

        made = Rules({**self.common, **letters}, held)
        return made if private is None else replace(made, private=private)

    def claims(self, address: int) -> bool:
        """Does this thread own what the word at this address stands for?"""
        native = self.vm.native
        number = native.seat()
        if not number:
            return False  # a thread without a seat only looks, and owns nothing
        seat: Any = Seat.from_buffer(self.vm.arena.mapping, native.offset_of_seat(number))
        return any(row.address == address and row.count for row in seat.claims)

    def own(self, *letters: str) -> Rules:
        """Records with a lock of their own."""
        return self.rules(None, **dict.fromkeys(letters, both(lambda view: view.lock.held())))

    def object(self) -> Rules:
        """O: its own lock.  S: the lock of what it shadows; of nothing, its own.  p: a share of the count."""
        shadow, objects = getter(VmObject.shadow), self.objects

        def shadowed(view: Any) -> bool:
            below = shadow(view) & SLOT
            lock = objects[below].lock if below else view.lock
            return bool(lock.held())

        count = VmObject.paging_in_progress.offset
        return self.rules(
            O=both(lambda view: view.lock.held()),
            S=both(shadowed),
            p=both(lambda view: self.claims(view.address + count)),
        )

    def page(self) -> Rules:
        """O: the lock of its object.  H, V: of its bucket, of its frame's group.  b: we own it BUSY."""
        vm, objects = self.vm, self.objects
        owner, offset = getter(VmPage.object), getter(VmPage.offset)
        flags, queue_flags = getter(VmPage.flags_o), getter(VmPage.flags_p)

        def by_object(view: Any) -> bool:
            return bool(objects[owner(view) & SLOT].lock.held())

        def by_bucket(view: Any) -> bool:
            number = (owner(view) & SLOT) * HASH_SPREAD + (offset(view) >> vm.page_shift)
            return bool(vm.bucket_lock(number & vm.hash_mask).held())

        def by_frame(view: Any) -> bool:
            return bool(vm.pv_lock(view.slot).held())

        def private(view: Any) -> bool:
            """In no object: on the free list, which has a lock, or known only to the thread that took it."""
            free = queue_flags(view) & PG_FREE
            return not flags(view) & PG_TABLED and (not free or bool(vm.free_lock.held()))

        flags_at = VmPage.flags_o.offset
        return self.rules(
            private,
            O=both(by_object),
            H=both(by_bucket),
            V=both(by_frame),
            b=both(lambda view: self.claims(view.address + flags_at)),
        )

    def head(self) -> Rules:
        """H: the lock of the bucket."""
        vm = self.vm
        return self.rules(H=both(lambda bucket: bool(vm.bucket_lock(bucket).held())))

    def mapping(self) -> Rules:
        """T: the lock of its pmap.  V: the lock of its frame's group.  Private until it is linked."""
        vm, pmaps = self.vm, self.pmaps
        pmap, frame = getter(MappingRecord.pmap), getter(MappingRecord.frame)
        return self.rules(
            lambda view: not frame(view),
            T=both(lambda view: pmaps[pmap(view)].lock.held()),
            V=both(lambda view: vm.pv_lock(frame(view)).held()),
        )

    def entry(self) -> Rules:
        """M: the lock of the map that it is linked in.  Private while it is linked in none."""
        home, locks = getter(VmMapEntry.home), self.map_locks

        def may_read(view: Any) -> bool:
            lock = locks.get(home(view))
            return lock is not None and lock.held() is not None

        def may_write(view: Any) -> bool:
            lock = locks.get(home(view))
            return lock is not None and lock.held() == "write"

        return self.rules(lambda view: not home(view), M=(may_read, may_write))

    def map(self) -> Rules:
        """M: its own lock.  R: its ref_lock.  Y: its hint_lock."""
        return self.rules(
            M=(lambda view: view.lock.held() is not None, lambda view: view.lock.held() == "write"),
            R=both(lambda view: view.ref_lock.held()),
            Y=both(lambda view: view.hint_lock.held()),
        )

    def pager(self) -> Rules:
        """K: its own lock.  U: the lock of its vnode.  J: the lock of its object."""
        handle, vnodes = getter(Pager.pg_handle), self.vnodes
        owner, objects = getter(Pager.pg_object), self.objects
        return self.rules(
            K=both(lambda view: view.lock.held()),
            U=both(lambda view: vnodes[handle(view) & SLOT].lock.held()),
            J=both(lambda view: objects[owner(view) & SLOT].lock.held()),
        )

    def swap_block(self) -> Rules:
        """K: the lock of its pager.  Private until it is linked."""
        owner, pagers = getter(SwapBlock.pager), self.pagers
        return self.rules(
            lambda view: not owner(view), K=both(lambda view: pagers[owner(view) & SLOT].lock.held())
        )


POOL_RULES: dict[str, Callable[[RuleMaker], Rules]] = {
    "objects": RuleMaker.object,
    "mappings": RuleMaker.mapping,
    "pmaps": lambda rules: rules.own("T"),
    "entries": RuleMaker.entry,
    "maps": RuleMaker.map,
    "sharing_maps": RuleMaker.map,
    "vmspaces": lambda rules: rules.own("R"),
    "pagers": RuleMaker.pager,
    "swap_blocks": RuleMaker.swap_block,
    "vnodes": lambda rules: rules.own("U"),
}

AREA_RULES: dict[str, Callable[[RuleMaker], Rules]] = {"heads": RuleMaker.head}
TABLE_RULES: dict[str, Callable[[RuleMaker], Rules]] = {"pages": RuleMaker.page}
