"""Rules of the state machine: what is mapped where, with which rights, and what children get."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from tests.vmcore.machine import model
from tests.vmcore.machine.lives import Lives
from tests.vmcore.machine.rig import DEVICE_PAGES, FILE_PAGES, FILES, NAMES, outcome
from tests.vmcore.machine.world import anywhere, counts, files, inheritances, maps, rights, spots, tasks
from vmcore.constants import KERN_INVALID_ARGUMENT, KERN_SUCCESS, VM_PROT_ALL
from vmcore.space.map_device import vm_map_device
from vmcore.space.map_named import vm_map_named
from vmcore.space.map_protect import vm_map_inherit, vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.structs import Vnode


class Mappings(Lives):
    """Everything that changes a map."""

    def mapped(self, found: tuple[int, Any], expected: tuple[int, int], count: int) -> Any:
        """Compare (code, address); what was mapped goes to ``maps``."""
        code, address = found
        got = (code, address // self.size if code == KERN_SUCCESS else 0)
        assert got == expected, f"got {got}, expected {expected}"
        return (expected[1], count) if code == KERN_SUCCESS else multiple()

    @rule(target=maps, task=tasks, count=counts, at=anywhere, inherit=inheritances)
    def allocate(self, task, count, at, inherit):
        expected = task.model.allocate(count, at, VM_PROT_ALL, inherit)
        where = self.at(at)
        return self.mapped(
            outcome(
                lambda: vm_allocate(
                    self.vm, self.map_of(task), count * self.size, where, VM_PROT_ALL, inherit
                )
            ),
            expected,
            count,
        )

    @rule(
        target=maps, task=tasks, file=files, index=st.integers(0, FILE_PAGES), count=counts, at=anywhere,
        how=st.sampled_from(["shared", "private", "copy"]), prot=rights,
    )  # fmt: skip
    def map_file(self, task, file, index, count, at, how, prot):
        expected = task.model.map_file(file, index, count, how, at, prot)
        vm, vnode, shared, copy = self.vm, self.vnode(file), how == "shared", how == "copy"
        size, offset, where = count * self.size, index * self.size, self.at(at)
        found = outcome(
            lambda: vm_map_file(vm, self.map_of(task), vnode, size, offset, shared, where, prot, copy)
        )
        return self.mapped(found, expected, count)

    def vnode(self, file: model.File) -> Vnode:
        """The real one."""
        found: Vnode = self.vm.vnodes.views[file.number + 1]
        return found

    @rule(
        target=maps, task=tasks, name=st.integers(1, NAMES), index=st.integers(0, 3), count=counts,
        at=anywhere, prot=rights,
    )  # fmt: skip
    def map_named(self, task, name, index, count, at, prot):
        region = self.regions.get(name)
        in_use = "no" if region is None else self.in_use(region)
        if in_use == "perhaps":
            return multiple()
        if region is None or in_use == "no":
            region = model.File(FILES + name, [self.vm.zeros] * (index + count))
        size, offset, where = count * self.size, index * self.size, self.at(at)
        found = outcome(lambda: vm_map_named(self.vm, self.map_of(task), name, size, offset, where, prot))
        if index + count > len(region.pages):
            assert found[0] == KERN_INVALID_ARGUMENT
            return multiple()
        expected = task.model.map_file(region, index, count, "shared", at, prot)
        if expected[0] == KERN_SUCCESS:
            self.regions[name] = region
        return self.mapped(found, expected, count)

    def in_use(self, region: model.File) -> str:
        """Does a name still have its memory?  Snapshots may keep it alive, as far as we know."""
        places = [slot.place for space in self.models() for slot in space.slots.values()]
        behind = [place for place in places if place.bottom is region]
        if not behind:
            return "no"
        sees = any(isinstance(place.source, model.FilePage) for place in behind)
        return "yes" if sees else "perhaps"

    @rule(
        target=maps, task=tasks, index=st.integers(0, DEVICE_PAGES), count=counts, at=anywhere, prot=rights
    )  # fmt: skip
    def map_device(self, task, index, count, at, prot):
        device, size, offset = self.vm.devices.views[1], count * self.size, index * self.size
        found = outcome(
            lambda: vm_map_device(self.vm, self.map_of(task), device, size, offset, self.at(at), prot)
        )
        if index + count > DEVICE_PAGES:
            assert found[0] == KERN_INVALID_ARGUMENT
            return multiple()
        expected = task.model.map_file(self.device, index, count, "shared", at, prot)
        return self.mapped(found, expected, count)

    @rule(task=tasks, where=spots, count=counts)
    def deallocate(self, task, where, count):
        first = self.page(task, where)
        expected = task.model.deallocate(first, count)
        found = outcome(
            lambda: vm_deallocate(self.vm, self.map_of(task), first * self.size, count * self.size)
        )
        assert found[0] == expected

    @rule(task=tasks, where=spots, count=counts, prot=rights, maximum=st.booleans())
    def protect(self, task, where, count, prot, maximum):
        first = self.page(task, where)
        expected = task.model.protect(first, count, prot, maximum)
        start, end = first * self.size, (first + count) * self.size
        assert vm_map_protect(self.vm, self.map_of(task), start, end, prot, maximum) == expected

    @rule(task=tasks, where=spots, count=counts, inherit=inheritances)
    def inherit(self, task, where, count, inherit):
        first = self.page(task, where)
        expected = task.model.inherit(first, count, inherit)
        start, end = first * self.size, (first + count) * self.size
        assert vm_map_inherit(self.vm, self.map_of(task), start, end, inherit) == expected

    @rule(task=tasks, what=maps)
    def discard(self, task, what):
        expected = task.model.discard(*what)
        start, end = what[0] * self.size, sum(what) * self.size
        assert vm_map_discard(self.vm, self.map_of(task), start, end) == expected

    @rule(target=maps, task=tasks, what=maps, count=counts, at=anywhere)
    def move(self, task, what, count, at):
        expected = task.model.move(*what, count, at)
        old, length, where = what[0] * self.size, what[1] * self.size, self.at(at)
        found = outcome(
            lambda: vm_map_move(self.vm, self.map_of(task), old, length, count * self.size, where)
        )
        return self.mapped(found, expected, count)
