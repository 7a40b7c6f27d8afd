"""What all rules of the state machine stand on: the VM, the tasks, the model, the comparison.

One thread plays all processes; page-outs happen when a rule says so, or when memory is
short.  After each rule every mapped page of every space is compared without touching it,
and unless a rule has left a write in flight the whole VM is audited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant

from tests.vmcore.builders import stamp
from tests.vmcore.machine import model, pump
from tests.vmcore.machine.peek import Peek
from tests.vmcore.machine.rig import DEVICE_PAGES, LOW, PAGES, Rig
from vmcore.audit.audit import audit
from vmcore.constants import (
    KERN_RESOURCE_SHORTAGE,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_DEFAULT,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.structs import VmMap, Vmspace

FRAGMENTS = 8  # swap pages that may be free although no block can be had
ANY_PAGE = 10  # one spot in so many may be a page that is not mapped

spots = st.integers(0, ANY_PAGE * PAGES - 1)  # see World.page
counts = st.integers(1, 5)
anywhere = st.none() | st.integers(LOW, LOW + PAGES - 1)
rights = st.sampled_from([VM_PROT_DEFAULT] * 6 + [VM_PROT_ALL, VM_PROT_READ, VM_PROT_WRITE, VM_PROT_NONE])
inheritances = st.sampled_from([VM_INHERIT_COPY] * 3 + [VM_INHERIT_SHARE] * 2 + [VM_INHERIT_NONE])
tasks: Bundle[Task] = Bundle("tasks")
maps: Bundle[tuple[int, int]] = Bundle("maps")  # (first page, pages) of something that was mapped somewhere
files: Bundle[model.File] = Bundle("files")


@dataclass(eq=False)
class Task:
    """A process; two of them may have one space."""

    space: Vmspace
    model: model.Space


class World(RuleBasedStateMachine):
    """The state that rules work on; ``rig`` is set by the test."""

    rig: Rig
    tasks, maps, files = tasks, maps, files

    def __init__(self) -> None:
        super().__init__()
        self.vm = self.rig.clean_vm()
        self.size = self.vm.page_size
        self.living: list[Task] = []
        self.regions: dict[int, model.File] = {}  # named memory
        self.device = model.File(-1, [self.vm.zeros] * DEVICE_PAGES)
        self.serial = 0

    # --- help

    def page(self, task: Task, spot: int) -> int:
        """Mostly a page that is mapped: a rule that finds nothing there proves little."""
        mapped = sorted(task.model.slots)
        number, kind = divmod(spot, ANY_PAGE)
        return mapped[number % len(mapped)] if kind and mapped else LOW + number

    def map_of(self, task: Task) -> VmMap:
        """Its map."""
        return space_map(self.vm, task.space)

    def new_task(self, space: Vmspace | None, shown: model.Space) -> Task:
        """One more task."""
        assert space is not None
        task = Task(space, shown)
        self.living.append(task)
        return task

    def empty(self) -> model.Space:
        """Nothing mapped."""
        return model.Space(self.vm.zeros, LOW, LOW + PAGES)

    def models(self) -> list[model.Space]:
        """Each space once."""
        return list({id(task.model): task.model for task in self.living}.values())

    def some_bytes(self) -> bytes:
        """A page that was never stored before."""
        self.serial += 1
        return stamp(self.vm, self.serial)

    def at(self, page: int | None) -> int | None:
        """An address, or none."""
        return None if page is None else page * self.size

    def promised(self, task: Task, page: int) -> bool:
        """Does the model know what is there?"""
        slot = task.model.slots.get(page)
        return slot is None or slot.place.known

    def require_room(self, code: int) -> bool:
        """Was it done?  Memory may be full only if swap is too."""
        if code == KERN_RESOURCE_SHORTAGE:
            self.require_full()
        return code != KERN_RESOURCE_SHORTAGE

    def require_full(self) -> None:
        """An operation was told that there is no memory: is that true?"""
        g = self.vm.g
        assert g.swap_total - g.swap_used <= FRAGMENTS, "no memory, although there is swap"
        self.rig.shortages += 1

    def let_services(self, work: Any) -> Any:
        """Daemon and disk do this."""
        return self.rig.services.do(work, self.vm)

    # --- after each step

    def compare(self) -> Peek:
        """Every mapped page of every space, without a fault."""
        peek = Peek(self.vm)
        for task in {id(task.model): task for task in self.living}.values():
            shown = dict(peek.pages(task.space))
            assert shown.keys() == task.model.slots.keys()
            for page, slot in task.model.slots.items():
                if slot.place.known:
                    assert shown[page] == slot.place.read(), f"page {page}"
        return peek

    @invariant()
    def everything_is_in_order(self) -> None:
        """Contents always; all invariants unless a write is under way."""
        self.rig.steps += 1
        self.rig.services.waits = 0
        peek = self.compare()
        assert len(peek.seen) >= sum(1 for _ in model.boxes(self.models()))
        if pump.at_rest(self.vm):
            assert audit(self.vm) == []

    def teardown(self) -> None:
        """Every task leaves; nothing may remain.  After a failure the VM is thrown away."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, UnsatisfiedAssumption):
            self.rig.spoil()
            return
        try:
            while self.living:
                vmspace_exit(self.vm, self.living.pop().space)
            self.rig.require_clean()
        except BaseException:
            self.rig.spoil()
            raise
