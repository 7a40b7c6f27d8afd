"""Rules of the state machine: wiring, msync, and files that change their size."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.vmcore.machine import model
from tests.vmcore.machine.mappings import Mappings
from tests.vmcore.machine.rig import FILE_PAGES
from tests.vmcore.machine.world import counts, files, maps, spots, tasks
from vmcore.constants import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_PROT_WRITE,
)
from vmcore.object.vnode_size import vnode_pager_setsize, vnode_pager_uncache
from vmcore.space.mlock import vm_map_pageable
from vmcore.space.msync import vm_map_clean


class Keeping(Mappings):
    """What memory and disk must keep."""

    @rule(task=tasks, where=spots, count=counts)
    def wire(self, task, where, count):
        first = self.page(task, where)
        shown = task.model
        slots = [shown.slots[page] for page in shown.mapped(first, count)]
        if not self.foreseeable(slots):
            return
        start, end, g = first * self.size, (first + count) * self.size, self.vm.g
        code = vm_map_pageable(self.vm, self.map_of(task), start, end, True)
        if code == KERN_RESOURCE_SHORTAGE:
            fresh = sum(not slot.wired for slot in slots)
            full = g.v_wire_count + fresh > g.v_wire_max
            assert full or not self.require_room(code)
            return
        assert code == shown.wire(first, count)

    def foreseeable(self, slots: list[model.Slot]) -> bool:
        """Is it promised which pages a wiring copies, even if it fails half-way?

        Whether a private page of a file that may not be stored to is copied depends on what its
        neighbours went through; and a wiring that failed may have copied some, which outlive a
        truncation of the file where those that were not copied (a snapshot's, too) go with it.  The same
        holds for a page that the file's users share: what it held is copied for its snapshots.
        """
        unwritten = [
            slot
            for slot in slots
            if (slot.place.cow and isinstance(slot.place.source, model.FilePage | model.Snap))
            or slot.place.seen_by_snapshots
        ]
        fails = any(slot.place.read() is None for slot in slots)
        g = self.vm.g
        short = g.v_wire_count + len(slots) > g.v_wire_max or self.rig.tight
        safe = all(slot.protection & VM_PROT_WRITE for slot in unwritten)
        known = all(slot.place.known for slot in slots)
        return known and (not unwritten or (safe and not fails and not short))

    @rule(task=tasks, where=spots, count=counts)
    def unwire(self, task, where, count):
        first = self.page(task, where)
        start, end = first * self.size, (first + count) * self.size
        code = vm_map_pageable(self.vm, self.map_of(task), start, end, False)
        assert code == task.model.unwire(first, count)

    @rule(task=tasks, what=maps, sync=st.booleans(), invalidate=st.booleans())
    def synchronize(self, task, what, sync, invalidate):
        start, end = what[0] * self.size, sum(what) * self.size
        whole = len(task.model.mapped(*what)) == what[1]
        code, _ = vm_map_clean(self.vm, self.map_of(task), start, end, sync, invalidate)
        if whole and code == KERN_FAILURE:
            self.require_full()
        else:
            assert code == (KERN_SUCCESS if whole else KERN_INVALID_ADDRESS)

    @rule(file=files, count=st.integers(0, FILE_PAGES + 2), more=st.booleans())
    def resize(self, file, count, more):
        if count < len(file.pages) and self.wired(file):
            return  # wired pages beyond the end stay: which spaces see them is not promised
        if more and 0 < count < len(file.pages):  # cut in the middle of a page, then to its end
            short = (count - 1) * self.size + 100
            assert vnode_pager_setsize(self.vm, self.vnode(file), short) == KERN_SUCCESS
            file.pages[count - 1] = file.pages[count - 1][:100] + self.vm.zeros[100:]
        assert vnode_pager_setsize(self.vm, self.vnode(file), count * self.size) == KERN_SUCCESS
        file.resize(count, self.vm.zeros)

    def wired(self, file: model.File) -> bool:
        """Is a page of the file kept in memory?"""
        return any(
            slot.place.wired and slot.place.bottom is file
            for space in self.models()
            for slot in space.slots.values()
        )

    @rule(file=files)
    def uncache(self, file):
        vnode_pager_uncache(self.vm, self.vnode(file))
