"""Random programs against a model that knows nothing but contents.

The model of a space is one box per page; fork copies the boxes, or shares them.  After
each step the whole VM is audited, and at the end of each program nothing may be left.
"""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vmcore.builders_objects import page_out_step, read, space_of, va, write
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE
from vmcore.map.map_entry import vm_map_lookup_entry
from vmcore.space.map_protect import vm_map_inherit
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.vm_error import VmFault

PAGES = 5


@dataclass(eq=False)
class Box:
    value: int = 0
    inheritance: int = VM_INHERIT_COPY
    shared: bool = False  # two spaces have it: it lies in a sharing map


class Family:
    """The VM and the model, side by side."""

    def __init__(self, vm):
        self.vm = vm
        self.spaces = [space_of(vm, PAGES)]
        self.models: list[list[Slot | None]] = [[Slot(Box()) for _ in range(PAGES)]]
        self.serial = 0

    def pick(self, who):
        who %= len(self.spaces)
        return who, self.spaces[who], self.models[who]

    def write(self, who, page):
        _, space, model = self.pick(who)
        self.serial += 1
        if model[page] is None:
            with pytest.raises(VmFault):
                write(self.vm, space, page, self.serial)
        else:
            write(self.vm, space, page, self.serial)
            model[page].box.value = self.serial

    def read(self, who, page):
        _, space, model = self.pick(who)
        if model[page] is None:
            with pytest.raises(VmFault):
                read(self.vm, space, page)
        else:
            assert read(self.vm, space, page) == model[page].box.value

    def fork(self, who, _page):
        if len(self.spaces) >= 5:
            return
        _, space, model = self.pick(who)
        self.spaces.append(vmspace_fork(self.vm, space))
        self.models.append([slot and slot.inherited() for slot in model])

    def exit(self, who, _page):
        if len(self.spaces) > 1:
            who, space, _ = self.pick(who)
            vmspace_exit(self.vm, space)
            del self.spaces[who], self.models[who]

    def unmap(self, who, page):
        _, space, model = self.pick(who)
        vm_deallocate(self.vm, space_map(self.vm, space), va(self.vm, page), self.vm.page_size)
        model[page] = None

    def map(self, who, page):
        _, space, model = self.pick(who)
        vm_allocate(self.vm, space_map(self.vm, space), self.vm.page_size, va(self.vm, page))
        model[page] = Slot(Box())

    def discard(self, who, page):
        _, space, model = self.pick(who)
        vm_map_discard(self.vm, space_map(self.vm, space), va(self.vm, page), va(self.vm, page + 1))
        if model[page] is not None and not model[page].box.shared:
            model[page].box = Box()

    def inherit(self, who, page, inheritance):
        _, space, model = self.pick(who)
        vm_map_inherit(
            self.vm, space_map(self.vm, space), va(self.vm, page), va(self.vm, page + 1), inheritance
        )
        if model[page] is not None:
            model[page].inheritance = inheritance

    def share(self, who, page):
        self.inherit(who, page, VM_INHERIT_SHARE)

    def copy(self, who, page):
        self.inherit(who, page, VM_INHERIT_COPY)

    def keep(self, who, page):
        self.inherit(who, page, VM_INHERIT_NONE)

    def page_out(self, _who, _page):
        page_out_step(self.vm)

    def check(self):
        for who, model in enumerate(self.models):
            for page, slot in enumerate(model):
                if slot is not None:
                    assert read(self.vm, self.spaces[who], page) == slot.box.value
                inside, _ = vm_map_lookup_entry(
                    self.vm, space_map(self.vm, self.spaces[who]), va(self.vm, page)
                )
                assert inside == (slot is not None)


@dataclass(eq=False)
class Slot:
    """What one space has at one page: the contents, and what its children get."""

    box: Box
    inheritance: int = VM_INHERIT_COPY

    def inherited(self):
        if self.inheritance == VM_INHERIT_NONE:
            return None
        if self.inheritance == VM_INHERIT_SHARE:
            self.box.shared = True
            return Slot(self.box, VM_INHERIT_SHARE)
        return Slot(Box(self.box.value), self.inheritance)


STEPS = (
    ["write"] * 6 + ["fork"] * 3 + ["page_out"] * 3 + ["exit"] * 2 + ["read"] * 2
    + ["unmap", "map", "discard", "share", "copy", "keep"]
)  # fmt: skip
programs = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 4), st.integers(0, PAGES - 1)), max_size=40
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(program=programs)
def test_a_space_always_shows_what_its_history_says(vm, program):
    family = Family(vm)
    try:
        for step, who, page in program:
            getattr(family, step)(who, page)
            assert audit(vm) == []
        family.check()
    finally:
        for space in family.spaces:
            vmspace_exit(vm, space)
    assert all_gone(vm) == []
