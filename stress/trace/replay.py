"""Replay: many workers carry out one plan on a VM, in the partial order that the recording fixes.

A worker takes newborn tasks from the ready queue and keeps each until it exits; among those of its
tasks that can go on it picks by its own dice.  What orders tasks is what the program itself relied
on: a child starts after its fork, a Wait ends after the Exit, a vfork parent goes on after the
release, an After after the count.  Nothing else does.

After every operation the task touches pages (``stress.trace.touch``); every load is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stress.ops import core, process_codec
from stress.ops.address_map import Range
from stress.ops.core import Actor, Process
from stress.trace import ops as traced
from stress.trace import wiring
from stress.trace.plan import FileInfo, Plan
from stress.trace.replay_state import GONE, ReplayState
from stress.trace.touch import Touch, TouchModel

BURST = 4  # operations of one task before the worker looks around
APPETITE = 3  # a worker with fewer tasks that can go on takes a newborn first

MAX_FILES = 64  # as many descriptors as a VM's boot record can name; further files share them


class Life:
    """A task while a worker runs it."""

    __slots__ = ("at", "child", "born", "index", "ops", "process")

    def __init__(self, plan: Plan, index: int, process: Process | None, born: bool) -> None:
        self.index, self.ops = index, plan.tasks[index].ops
        self.at = 0
        self.process = process
        self.child = -1  # the vfork child that we wait for
        self.born = born  # its first touches are still to come


class Replay:
    """One worker's part of a replay."""

    def __init__(self, plan: Plan, state: ReplayState, model: TouchModel, actor: Actor) -> None:
        self.plan, self.state, self.model, self.actor = plan, state, model, actor
        self.vm, self.native = actor.vm, actor.native
        self.lives: list[Life] = []
        self.watched = watched_counts(plan)
        self.kinds: dict[int, Callable[[Life, Any], bool]] = {
            traced.OpKind.MAP_ANON: self.map_anon, traced.OpKind.MAP_FILE: self.map_file,
            traced.OpKind.UNMAP: self.unmap, traced.OpKind.PROTECT: self.protect,
            traced.OpKind.MREMAP: self.mremap, traced.OpKind.DONTNEED: self.discard,
            traced.OpKind.LOCK: self.lock, traced.OpKind.UNLOCK: self.unlock,
            traced.OpKind.MSYNC: self.msync, traced.OpKind.EXEC: self.execute,
            traced.OpKind.FORK: self.fork, traced.OpKind.WAIT: self.wait,
            traced.OpKind.AFTER: self.after, traced.OpKind.EXIT: self.exit,
        }  # fmt: skip

    # --- the worker's loop

    def run(self, should_stop: Callable[[], bool]) -> None:
        """One epoch: work until it is over, the plan is done, or the run is to end."""
        board = self.state.board
        while not (board.pause or should_stop()):
            seen = board.sequence  # before we look, so that nothing can happen unseen in between
            able = [life for life in self.lives if not self.blocked(life)]
            if len(able) < APPETITE and (life := self.adopt()) is not None:
                able.append(life)
            if able:
                self.burst(self.actor.rng.choice(able))
            elif not board.left:
                return
            else:
                self.state.wait(seen)

    def abandon(self) -> None:
        """The run ends early: the tasks of this worker exit where they are."""
        for life in self.lives:
            if life.process is not None:
                core.leave(self.actor, life.process)
        self.lives.clear()
        while (taken := self.state.take(self.actor.number)) is not None:
            if taken[1] is not None:
                core.leave(self.actor, process_codec.decode(self.vm, taken[1]))

    def adopt(self) -> Life | None:
        """Take a newborn from the queue."""
        taken = self.state.take(self.actor.number)
        if taken is None:
            return None
        index, data = taken
        process = None
        if data is not None:
            process = process_codec.decode(self.vm, data)
            process.picture.avoid = self.plan.tasks[index].avoid
        return self.keep(Life(self.plan, index, process, data is not None))

    def keep(self, life: Life) -> Life:
        self.lives.append(life)
        return life

    def burst(self, life: Life) -> None:
        """A few operations of one task."""
        for _ in range(BURST):
            if life.at >= len(life.ops) or self.blocked(life):
                return
            if life.born:
                life.born = False
                assert life.process is not None
                self.touch(life, self.model.at_birth(life.process.picture, life.index))
            self.operation(life)

    def blocked(self, life: Life) -> bool:
        """Must another task do something first?"""
        tasks = self.state.tasks
        if life.child >= 0:
            return not tasks[life.child].released
        op = life.ops[life.at]
        if isinstance(op, traced.Wait):
            return bool(tasks[op.task].state != GONE)
        if isinstance(op, traced.After):
            return bool(tasks[op.task].done < op.done)
        return False

    def operation(self, life: Life) -> None:
        """The next operation of a task that can go on, and the touches that follow it."""
        op = life.ops[life.at]
        if life.child >= 0:
            life.child = -1
        elif not self.kinds[op.kind](life, op):
            return  # a vfork: the rest comes after the release
        if life.process is not None and op.kind != traced.OpKind.EXIT:
            self.touch(life, self.model.touches(life.process.picture, life.index, life.at, op))
        life.at += 1
        row = self.state.tasks[life.index]
        row.done = life.at
        if life.at in self.watched.get(life.index, ()):
            self.state.moved()
        if life.at == len(life.ops):
            self.invalidate_history(life)

    def invalidate_history(self, life: Life) -> None:
        self.lives.remove(life)
        self.state.gone(life.index)

    def touch(self, life: Life, touches: list[Touch]) -> None:
        """Load and store pages."""
        actor, process = self.actor, life.process
        assert process is not None
        for store, va in touches:
            if store:
                core.write(actor, process, va)
            else:
                core.read(actor, process, va)

    # --- operations; False: not finished yet

    def map_anon(self, life: Life, op: traced.MapAnon) -> bool:
        new = Range(op.addr, op.addr + op.length, op.prot, op.shared)
        core.allocate(self.actor, self.body(life), new, draw=False)
        return True

    def map_file(self, life: Life, op: traced.MapFile) -> bool:
        new = Range(op.addr, op.addr + op.length, op.prot, op.shared, op.file, op.offset)
        core.map_file(self.actor, self.body(life), new, draw=False)
        return True

    def unmap(self, life: Life, op: traced.Unmap) -> bool:
        core.unmap(self.actor, self.body(life), op.addr, op.addr + op.length, draw=False)
        return True

    def protect(self, life: Life, op: traced.Protect) -> bool:
        core.protect(self.actor, self.body(life), op.addr, op.addr + op.length, op.prot, draw=False)
        return True

    def mremap(self, life: Life, op: traced.Mremap) -> bool:
        # Linux moves locked memory; our VM refuses to, so it is unlocked for the time.
        locked = wiring.unlock(self.actor, self.body(life), op.old, op.old + op.old_length)
        core.move(self.actor, self.body(life), op.old, op.old_length, op.new, op.new_length)
        if locked:
            wiring.lock(self.actor, self.body(life), op.new, op.new + op.new_length)
        return True

    def discard(self, life: Life, op: traced.DontNeed) -> bool:
        # Not locked in the recording, or it had failed; but "everything to come" is not in a plan.
        wiring.unlock(self.actor, self.body(life), op.addr, op.addr + op.length)
        core.discard(self.actor, self.body(life), op.addr, op.addr + op.length)
        return True

    def msync(self, life: Life, op: traced.Msync) -> bool:
        core.clean(self.actor, self.body(life), op.addr, op.addr + op.length, sync=True)
        return True

    def lock(self, life: Life, op: traced.Lock) -> bool:
        wiring.lock(self.actor, self.body(life), op.addr, op.addr + op.length)
        return True

    def unlock(self, life: Life, op: traced.Unlock) -> bool:
        wiring.unlock(self.actor, self.body(life), op.addr, op.addr + op.length)
        return True

    def wait(self, life: Life, op: traced.Op) -> bool:  # noqa: ARG002 - blocked() has waited already
        return True

    after = wait

    def execute(self, life: Life, op: traced.Exec) -> bool:
        """Leave the memory (a vfork parent gets it back), and map the new program."""
        if life.process is None:
            life.process = core.create_process(self.actor)
            life.process.picture.avoid = self.plan.tasks[life.index].avoid
        else:
            core.execute(self.actor, life.process)
            self.release(life)
        for made in op.maps:
            if isinstance(made, traced.MapFile):
                self.map_file(life, made)
            else:
                self.map_anon(life, made)
        return True

    def exit(self, life: Life, op: traced.Exit) -> bool:
        """The last touches, and out."""
        process = self.body(life)
        # The model clears the picture, and the loads must still know what they look at.
        drawn = self.model.touches(process.picture.copy(process.picture.avoid), life.index, life.at, op)
        self.touch(life, drawn)
        core.leave(self.actor, process)
        self.release(life)
        return True

    def release(self, life: Life) -> None:
        """If our parent waits for us to leave its memory: it may go on."""
        if not self.state.tasks[life.index].released:
            self.state.release(life.index)

    def fork(self, life: Life, op: traced.Fork) -> bool:
        """A child, in a copy of this memory or in this very memory.

        A vfork child stays with this worker: its parent cannot run beside it anyway, and the two
        then write one journal, which is what one memory with one user at a time needs.
        """
        parent = self.body(life)
        child = core.share(self.actor, parent) if op.share else core.fork(self.actor, parent)
        child.picture.avoid = self.plan.tasks[op.task].avoid
        if op.wait_release:
            self.state.kept(op.task, self.actor.number)
            self.keep(Life(self.plan, op.task, child, True))
            life.child = op.task
            return False
        if op.share:
            parent.journal.crowd()
        data = process_codec.encode(self.vm, child)
        if not self.state.born(op.task, data):
            if op.share:  # two threads here: each keeps its own books, as it would elsewhere
                child = process_codec.decode(self.vm, data)
                child.picture.avoid = self.plan.tasks[op.task].avoid
            self.keep(Life(self.plan, op.task, child, True))
        return True

    def body(self, life: Life) -> Process:
        assert life.process is not None, f"task {life.index} has no memory before its Exec"
        return life.process


def watched_counts(plan: Plan) -> dict[int, frozenset[int]]:
    """Task -> the counts of done operations that another task's After waits for."""
    found: dict[int, set[int]] = {}
    for task in plan.tasks:
        for op in task.ops:
            if isinstance(op, traced.After):
                found.setdefault(op.task, set()).add(op.done)
    return {task: frozenset(counts) for task, counts in found.items()}


def start(state: ReplayState, plan: Plan) -> None:
    """Put the roots into the ready queue."""
    for task in plan.tasks:
        if task.parent is None:
            state.born(task.index, None)


def file_sizes(plan: Plan) -> tuple[int, ...]:
    """Sizes of the files that the VM must have; beyond MAX_FILES several share one."""
    sizes = [traced.PAGE] * min(len(plan.files), MAX_FILES)
    for number, file in enumerate(plan.files):
        sizes[number % MAX_FILES] = max(sizes[number % MAX_FILES], file.size)
    return tuple(sizes)


def fold_files(plan: Plan) -> Plan:
    """The same plan with at most MAX_FILES files."""
    if len(plan.files) <= MAX_FILES:
        return plan
    tasks = tuple(replace(task, ops=tuple(folded(op) for op in task.ops)) for task in plan.tasks)
    sizes = file_sizes(plan)
    files = tuple(FileInfo(f"file {number}", size) for number, size in enumerate(sizes))
    return replace(plan, tasks=tasks, files=files)


def folded(op: traced.Op) -> traced.Op:
    """The operation with its file numbers folded."""
    if isinstance(op, traced.MapFile):
        return op._replace(file=op.file % MAX_FILES)
    if isinstance(op, traced.Exec):
        maps = (m._replace(file=m.file % MAX_FILES) if isinstance(m, traced.MapFile) else m for m in op.maps)
        return op._replace(maps=tuple(maps))
    return op
