"""The whole machine: every operation of the VM in any order, beside a model.

``World`` holds the state and looks after each step; ``Lives``, ``Mappings`` and ``Keeping``
are what tasks ask for; here is what happens to objects without being asked for by any task.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.vmcore.machine import chains, pump
from tests.vmcore.machine.keeping import Keeping
from tests.vmcore.machine.world import spots, tasks
from vmcore.audit.reachability import Cells
from vmcore.audit.sweep import audit_hidden, audit_pairs, sweep
from vmcore.object.object_cache import cache_trim
from vmcore.structs import VmObject

depths = st.integers(0, 3)


class Machine(Keeping):
    """Page-out, msync of any object, collapse, sweep."""

    def object_at(self, task, spot: int, depth: int) -> VmObject | None:
        """The object behind a page, so many links down."""
        return chains.object_at(self.vm, task.space, self.page(task, spot), depth)

    @rule(task=tasks, where=spots, depth=depths)
    def page_out(self, task, where, depth):
        chains.page_out(self.vm, self.object_at(task, where, depth))

    @rule(task=tasks, where=spots, depth=depths, sync=st.booleans())
    def clean(self, task, where, depth, sync):
        chains.clean(self.vm, self.object_at(task, where, depth), sync)

    @rule(task=tasks, where=spots, depth=depths)
    def collapse(self, task, where, depth):
        chains.collapse(self.vm, self.object_at(task, where, depth))

    @rule(rounds=st.integers(1, 3))
    def shortage(self, rounds):
        for _ in range(rounds):
            self.let_services(pump.one_round)

    @rule(limit=st.integers(0, 2))
    def trim(self, limit):
        cache_trim(self.vm, limit)

    @rule()
    def sweep(self):
        self.let_services(pump.finish)
        done = sweep(self.vm, lambda: self.let_services(pump.one_round))
        self.let_services(pump.finish)
        if not done.short:  # Q9 and Q10
            assert audit_pairs(self.vm, done.pairs) == []
            assert audit_hidden(self.vm, Cells(self.vm)) == []
