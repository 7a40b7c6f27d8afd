"""Plan: what every task of a trace does, in order, and which task waits for which.

A task is one life of one traced process or thread id.  ``stress.trace.build`` makes plans from
events; this file holds them, proves that they can be carried out, counts them and cuts them down.
Plans are immutable and picklable.  Parents have smaller indexes than their children.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from stress.ops.address_map import AddressMap
from stress.trace.errors import TraceError
from stress.trace.ops import After, Exec, Exit, Fork, MapAnon, MapFile, Op, Wait


class FileInfo(NamedTuple):
    """A mapped file: size in bytes is the farthest byte that any task maps, whole pages."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Task:
    """One life of a traced id.

    parent is None for a root: its fork is not in the log, and its first op is an Exec.
    avoid: addresses that *other* users of its address space change while it lives; the touch model
    stays away from them, so that touches do not depend on how tasks interleave.
    """

    index: int
    pid: int
    parent: int | None
    ops: tuple[Op, ...]
    first_line: int
    last_line: int
    avoid: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The programs of all tasks, and the files that they map."""

    source: str
    tasks: tuple[Task, ...]
    files: tuple[FileInfo, ...]

    def picture(self, task: int) -> AddressMap:
        """An empty picture for a root, which fills it with its first op."""
        return AddressMap(avoid=self.tasks[task].avoid)

    def child_picture(self, task: int, parent: AddressMap) -> AddressMap:
        """The picture that a forked task starts with, given its parent's at the Fork."""
        return parent.copy(avoid=self.tasks[task].avoid)

    def summary(self) -> dict[str, int]:
        """Counts: tasks, roots, ops, forks, shared_forks, execs, maps, waits, files, max_depth, max_live."""
        ops = [op for task in self.tasks for op in task.ops]
        forks = [op for op in ops if isinstance(op, Fork)]
        return {
            "tasks": len(self.tasks),
            "roots": sum(task.parent is None for task in self.tasks),
            "ops": len(ops),
            "forks": len(forks),
            "shared_forks": sum(fork.share for fork in forks),
            "execs": sum(isinstance(op, Exec) and op.seen for op in ops),
            "maps": sum(isinstance(op, MapAnon | MapFile) for op in ops),
            "waits": sum(isinstance(op, Wait) for op in ops),
            "files": len(self.files),
            "max_depth": max(self._depths(), default=0),
            "max_live": self._max_live(),
        }

    def _depths(self) -> list[int]:
        """Forks between each task and its root; parents come first, so one pass will do."""
        depths: list[int] = []
        for task in self.tasks:
            depths.append(0 if task.parent is None else depths[task.parent] + 1)
        return depths

    def _max_live(self) -> int:
        """Most tasks alive at once in the recording; a replay may have more or fewer."""
        changes = [(task.first_line, 1) for task in self.tasks]
        changes += [(task.last_line + 1, -1) for task in self.tasks]
        live = most = 0
        for _, change in sorted(changes):
            live += change
            most = max(most, live)
        return most

    def validate(self) -> None:
        """Prove that the plan can be carried out: run it with one worker, doing nothing.

        Whether an op may go on only ever changes from no to yes, so if this run ends, every
        interleaving does; if it gets stuck, so does every other.  Errors: TraceError naming the
        tasks that wait for each other, or the one whose shape is wrong.
        """
        for task in self.tasks:
            self._require_shape(task)
        done = _dry_run(self)
        stuck = [task for task in self.tasks if done[task.index] < len(task.ops)]
        if stuck:
            names = ", ".join(f"task {t.index} (pid {t.pid}) at {t.ops[done[t.index]]}" for t in stuck[:3])
            raise TraceError(self.source, f"{len(stuck)} tasks can never finish: {names}")

    def _require_shape(self, task: Task) -> None:
        exits = [at for at, op in enumerate(task.ops) if isinstance(op, Exit)]
        if exits != [len(task.ops) - 1]:
            why = f"task {task.index} (pid {task.pid}) exits at {exits}, not once at its end"
            raise TraceError(self.source, why)
        if task.parent is None and not isinstance(task.ops[0], Exec):
            why = f"root task {task.index} (pid {task.pid}) has no address space"
            raise TraceError(self.source, why)
        for op in task.ops:
            if isinstance(op, Fork | Wait | After) and not 0 <= op.task < len(self.tasks):
                raise TraceError(self.source, f"task {task.index} names task {op.task} of {len(self.tasks)}")

    def limit(self, n_tasks: int) -> "Plan":
        """The plan of the first n_tasks tasks: forks of, waits for and orders after others are dropped.

        Files keep their indexes and sizes.  Op positions move, so the touches of a limited plan differ.
        Errors: ValueError below 1.
        """
        if n_tasks < 1:
            raise ValueError(f"a plan of {n_tasks} tasks does nothing")
        kept = self.tasks[:n_tasks]
        # An After counts ops of another task; where ops are dropped, the count must shrink with them.
        before = [_kept_before(task.ops, n_tasks) for task in kept]
        tasks = []
        for task in kept:
            ops: list[Op] = []
            for op in task.ops:
                if not _keeps(op, n_tasks):
                    continue
                ops.append(op._replace(done=before[op.task][op.done]) if isinstance(op, After) else op)
            tasks.append(Task(task.index, task.pid, task.parent, tuple(ops), *_rest(task)))
        return Plan(self.source, tuple(tasks), self.files)


def _rest(task: Task) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    return task.first_line, task.last_line, task.avoid


def _keeps(op: Op, n_tasks: int) -> bool:
    return not isinstance(op, Fork | Wait | After) or op.task < n_tasks


def _kept_before(ops: tuple[Op, ...], n_tasks: int) -> list[int]:
    """For each position in ops (and the end), how many ops before it are kept."""
    counts = [0]
    for op in ops:
        counts.append(counts[-1] + _keeps(op, n_tasks))
    return counts


def _dry_run(plan: Plan) -> list[int]:
    """How many ops each task gets done when nothing but the dependencies can stop it."""
    done = [0] * len(plan.tasks)
    released = [False] * len(plan.tasks)  # has done an Exec or its Exit
    started = {task.index for task in plan.tasks if task.parent is None}
    todo = sorted(started)
    waiting: dict[int, list[int]] = {}  # task -> tasks to look at again when it gets on
    while todo:
        index = todo.pop()
        moved = done[index]
        for op in _remaining(plan.tasks[index], done):
            if isinstance(op, Fork) and op.task not in started:
                started.add(op.task)
                todo.append(op.task)
            if isinstance(op, Exec | Exit):
                released[index] = True
            blocker = _blocker(op, plan, done, released)
            if blocker is not None:
                waiting.setdefault(blocker, []).append(index)
                break
            done[index] += 1
        if done[index] > moved or released[index]:
            todo += waiting.pop(index, [])
    return done


def _remaining(task: Task, done: list[int]) -> Iterator[Op]:
    while done[task.index] < len(task.ops):
        yield task.ops[done[task.index]]


def _blocker(op: Op, plan: Plan, done: list[int], released: list[bool]) -> int | None:
    """The task that op has to wait for now, or None."""
    if isinstance(op, Wait) and done[op.task] < len(plan.tasks[op.task].ops):
        return op.task
    if isinstance(op, After) and done[op.task] < op.done:
        return op.task
    if isinstance(op, Fork) and op.wait_release and not released[op.task]:
        return op.task
    return None
