"""Replays with real workers: the order that a plan fixes is kept, and every page is right."""

import pytest

from stress.run import runner
from stress.run.options import RunOptions
from stress.run.workload import ReplayWorkload
from stress.trace.build import build_plan
from stress.trace.ops import After, Exec, Exit, Fork, MapAnon, MapFile, Protect, Unmap, Wait
from stress.trace.parse import parse_lines
from stress.trace.plan import FileInfo, Plan, Task
from stress.trace.replay import MAX_FILES, Replay, file_sizes, fold_files, watched_counts
from stress.trace.replay_state import ReplayState
from stress.trace.touch import TouchModel

PAGE = 4096
HEAP, FILE, MORE = 0x100000, 0x200000, 0x300000
# Small tables: a test machine boots them many times.
TABLES = {
    "objects": 1024,
    "entries": 1024,
    "mappings": 4096,
    "pagers": 256,
    "swap_blocks": 512,
    "swap_pages": 2048,
}
PROGRAM = Exec(
    (MapAnon(HEAP, 8 * PAGE, 3, False, True), MapFile(FILE, 4 * PAGE, 3, False, True, 0, 0)), seen=False
)
IMAGE = Exec((MapAnon(HEAP, 4 * PAGE, 3, False, True), MapFile(FILE, 4 * PAGE, 1, False, True, 1, 0)))


def task(index, parent, *ops):
    return Task(index, 100 + index, parent, (*ops, Exit()), index + 1, index + 2)


def plan_of(*tasks):
    made = Plan("by hand", tasks, (FileInfo("a", 4 * PAGE), FileInfo("b", 4 * PAGE)))
    made.validate()
    return made


def replay(plan, workers=3, **options):
    chosen = RunOptions(trace="by hand", workers=workers, touches=3.0, tables=TABLES, **options)
    return runner.run_workload(chosen, ReplayWorkload(plan, chosen))


def family(children):
    """A parent that forks some children and waits for all; each child forks one of its own."""
    tasks = []
    forks = [Fork(1 + 2 * n, False, False) for n in range(children)]
    waits = [Wait(1 + 2 * n) for n in reversed(range(children))]
    tasks.append(task(0, None, PROGRAM, *forks, *waits))
    for n in range(children):
        tasks.append(
            task(1 + 2 * n, 0, Fork(2 + 2 * n, False, False), Unmap(HEAP, 2 * PAGE), Wait(2 + 2 * n))
        )
        tasks.append(task(2 + 2 * n, 1 + 2 * n, MapAnon(MORE, 4 * PAGE, 3, False, True), IMAGE))
    return plan_of(*tasks)


@pytest.mark.parametrize("workers", [1, 3])
def test_forks_and_waits_in_any_order_give_each_process_its_own_memory(workers):
    report = replay(family(12), workers=workers, seed=workers)

    assert report.findings == []
    assert report.ended_by == "done"
    assert report.counters["map_forks"] == 24
    assert report.checks["content_reads"] > 300
    assert report.checks["audits"] == 1


def test_a_vfork_parent_goes_on_in_memory_that_its_child_has_written():
    spawn = [
        task(n, 0, IMAGE, MapAnon(MORE, PAGE, 3, False, True)) if n % 2 else task(n, 0) for n in range(1, 9)
    ]
    ops = [op for n in range(1, 9) for op in (Fork(n, True, True), Wait(n))]

    report = replay(plan_of(task(0, None, PROGRAM, *ops), *spawn))

    assert report.findings == []
    assert report.counters["map_forks"] == 0


def test_threads_share_memory_and_a_fork_of_it_is_a_snapshot():
    threads = [task(n, 0, MapAnon(MORE + n * 16 * PAGE, 4 * PAGE, 3, False, True)) for n in (1, 2, 3)]
    child = task(4, 0, Unmap(HEAP, PAGE))
    ops = [Fork(n, True, False) for n in (1, 2, 3)]

    report = replay(
        plan_of(
            task(0, None, PROGRAM, *ops, Fork(4, False, False), *map(Wait, (1, 2, 3, 4))), *threads, child
        )
    )

    assert report.findings == []


def test_an_after_is_waited_for():
    first = task(1, 0, MapAnon(MORE, 2 * PAGE, 3, False, True))
    second = task(2, 0, After(1, 1), Protect(MORE, 2 * PAGE, 3))  # refused where nothing is mapped
    plan = plan_of(
        task(0, None, PROGRAM, Fork(1, True, False), Fork(2, True, False), Wait(1), Wait(2)), first, second
    )

    assert watched_counts(plan) == {1: frozenset({1})}
    assert replay(plan).findings == []


def test_a_recorded_program_is_replayed_with_all_its_epochs():
    lines = ['1 0.0 execve("/bin/sh", ["sh"], []) = 0', "1 0.1 brk(NULL) = 0x600000"]
    for pid in range(2, 40):
        lines += [
            f"1 1.{pid:02} clone(child_stack=NULL, flags=SIGCHLD) = {pid}",
            f'{pid} 1.{pid:02}1 execve("/bin/true", ["true"], []) = 0',
            f"{pid} 1.{pid:02}2 exit_group(0) = ?",
            f"{pid} 1.{pid:02}3 +++ exited with 0 +++",
            f"1 1.{pid:02}4 wait4({pid}, [{{WIFEXITED(s) && WEXITSTATUS(s) == 0}}], 0, NULL) = {pid}",
        ]
    lines += ["1 9.0 exit_group(0) = ?", "1 9.1 +++ exited with 0 +++"]
    plan = build_plan(parse_lines(lines, "log"), "log")

    report = replay(plan)

    assert report.findings == []
    assert report.counters["map_forks"] == 38


def test_a_replay_that_runs_out_of_time_leaves_nothing_behind():
    report = replay(family(200), seconds=1.0)

    assert report.findings == []
    assert report.ended_by == "time limit"
    assert report.checks["audits"] >= 1  # the final audit's


def test_a_replay_of_fewer_epochs_than_it_needs_leaves_nothing_behind():
    report = replay(family(150), epochs=1)

    assert report.findings == []
    assert (report.epochs, report.ended_by) == (1, "done")
    assert report.checks["audits"] == 2  # the epoch's and the final audit's


def test_a_newborn_without_a_buffer_stays_with_its_parents_worker(world, actor):
    plan = family(3)
    state = ReplayState(world.arena, len(plan.tasks), 1)

    assert state.born(1, b"x" * 100)
    assert not state.born(3, b"x" * 100)
    assert state.take(1) == (1, b"x" * 100)
    assert state.born(5, b"y")
    assert not state.born(4, b"x" * (1 << 20))
    assert isinstance(Replay(plan, state, TouchModel(1), actor), Replay)


def test_more_files_than_descriptors_share_them():
    maps = tuple(MapFile(FILE + n * 16 * PAGE, PAGE, 1, False, True, n, 0) for n in range(MAX_FILES + 3))
    files = tuple(FileInfo(f"f{n}", (1 + n % 3) * PAGE) for n in range(MAX_FILES + 3))
    plan = Plan("many", (task(0, None, Exec(maps, seen=False)),), files)

    folded = fold_files(plan)

    assert len(folded.files) == MAX_FILES
    first = folded.tasks[0].ops[0]
    assert isinstance(first, Exec)
    assert {getattr(made, "file", -1) for made in first.maps} == set(range(MAX_FILES))
    assert len(file_sizes(plan)) == MAX_FILES
    assert replay(folded, workers=1).findings == []
