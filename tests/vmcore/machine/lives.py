"""Rules of the state machine: tasks are born, fork, touch their memory and leave."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import consumes, initialize, multiple, precondition, rule

from tests.vmcore.machine import model
from tests.vmcore.machine.rig import FILE_PAGES, FILES, LOW, PAGES, TASKS, first_bytes, outcome
from tests.vmcore.machine.world import Task, World, files, maps, spots, tasks
from vmcore.audit.objects import map_entries
from vmcore.constants import KERN_SUCCESS, VM_INHERIT_COPY, VM_PROT_ALL
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_allocate
from vmcore.space.vmspace import vmspace_alloc, vmspace_exec, vmspace_exit, vmspace_fork, vmspace_share

HEAP = 5  # pages that a new task has stored to: it finds itself in some history


def room_for_a_task(world: World) -> bool:
    """May there be one more?"""
    return len(world.living) < TASKS


class Lives(World):
    """Birth, fork, loads and stores, exec, exit."""

    @initialize(target=files)
    def know_the_files(self):
        return multiple(
            *(
                model.File(number, [first_bytes(self.vm, number, index) for index in range(FILE_PAGES)])
                for number in range(FILES)
            )
        )

    @initialize(target=tasks)
    def first_task(self):
        return self.birth()

    @precondition(lambda self: len(self.living) < 2)
    @rule(target=tasks)
    def another_task(self):
        return self.birth()

    def birth(self) -> Task:
        """A task with some memory."""
        space = vmspace_alloc(self.vm, LOW * self.size, (LOW + PAGES) * self.size)
        task = self.new_task(space, self.empty())
        self.take_heap(task)
        return task

    def take_heap(self, task: Task) -> None:
        """Memory with something in it, at the low end."""
        task.model.allocate(HEAP, LOW, VM_PROT_ALL, VM_INHERIT_COPY)
        vm_allocate(self.vm, self.map_of(task), HEAP * self.size, LOW * self.size)
        for page in range(LOW, LOW + HEAP):
            self.store(task, page)

    def child_of(self, task: Task) -> Task | None:
        """Fork; None when there is no memory for a copy of wired pages."""
        code, space = outcome(lambda: vmspace_fork(self.vm, task.space))
        if self.require_room(code):
            return self.new_task(space, task.model.fork())
        for entry in map_entries(self.vm, self.map_of(task)):  # a part of it may have become shared
            for page in range(entry.start // self.size, entry.end // self.size):
                task.model.slots[page].place.shared |= bool(entry.is_a_map)
        return None

    def leave(self, task: Task) -> None:
        """Exit."""
        self.living.remove(task)
        vmspace_exit(self.vm, task.space)

    @precondition(room_for_a_task)
    @rule(target=tasks, task=tasks)
    def fork(self, task):
        return self.child_of(task) or multiple()

    @precondition(room_for_a_task)
    @rule(target=tasks, task=tasks, mine=spots, its=spots)
    def fork_and_write(self, task, mine, its):
        child = self.child_of(task)
        if child is None:
            return multiple()
        self.store(task, self.page(task, mine))
        self.store(child, self.page(child, its))
        return child

    @precondition(room_for_a_task)
    @rule(target=tasks, task=consumes(tasks), where=st.lists(spots, max_size=3), parent=st.booleans())
    def next_generation(self, task, where, parent):
        child = self.child_of(task)
        if child is None:
            return task
        for spot in where:
            self.store(child, self.page(child, spot))
            self.store(task, self.page(task, spot))
        self.leave(task if parent else child)
        return child if parent else task

    @precondition(room_for_a_task)
    @rule(target=tasks, task=tasks)
    def share(self, task):
        return self.new_task(vmspace_share(self.vm, task.space), task.model)

    @rule(task=tasks)
    def execute(self, task):
        task.space = vmspace_exec(self.vm, task.space)
        task.model = self.empty()
        self.take_heap(task)

    @rule(task=consumes(tasks))
    def exit(self, task):
        self.leave(task)

    # --- loads and stores

    def load(self, task: Task, page: int) -> None:
        """A load must return what the model says."""
        expected, data = task.model.read(page)
        code, found = outcome(lambda: vm_read(self.vm, task.space, page * self.size))
        if self.require_room(code) and self.promised(task, page):
            assert (code, found or b"") == (expected, data)

    def store(self, task: Task, page: int) -> None:
        """A store must be refused when the model says so."""
        data = self.some_bytes()
        code, _ = outcome(lambda: vm_write(self.vm, task.space, page * self.size, data))
        if self.require_room(code) and (code == KERN_SUCCESS or self.promised(task, page)):
            assert code == task.model.write(page, data)

    @rule(task=tasks, where=st.lists(spots, min_size=1, max_size=4))
    def read(self, task, where):
        for spot in where:
            self.load(task, self.page(task, spot))

    @rule(task=tasks, where=st.lists(spots, min_size=1, max_size=4))
    def write(self, task, where):
        for spot in where:
            self.store(task, self.page(task, spot))

    @rule(task=tasks, what=maps, store=st.booleans())
    def touch_all(self, task, what, store):
        for page in range(what[0], sum(what)):
            (self.store if store else self.load)(task, page)
