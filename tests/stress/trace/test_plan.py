import pickle

import pytest

from stress.trace import Plan, Task, TraceError
from stress.trace.ops import PAGE, After, Exec, Exit, Fork, Lock, MapAnon, MapFile, Unmap, Wait

# Counted with zcat | grep -c in the logs, not with our code.
COUNTED = {
    "configure": {"tasks": 1953, "forks": 1952, "shared_forks": 189, "execs": 1099, "waits": 1952},
    "make": {"tasks": 121, "forks": 120, "shared_forks": 20, "execs": 72, "waits": 120},
    "pool": {"tasks": 99, "forks": 98, "shared_forks": 3, "execs": 39, "waits": 95},
}
NAMED_FILES = {"configure": 38, "make": 50, "pool": 47}


@pytest.mark.parametrize("name", COUNTED)
def test_the_plan_of_a_shipped_trace_has_what_grep_counts(plan_of, name):
    summary = plan_of(name).summary()

    assert {key: summary[key] for key in COUNTED[name]} == COUNTED[name]
    assert summary["roots"] == 1
    assert summary["files"] == NAMED_FILES[name] + 1  # and the program that execve maps
    assert summary["max_depth"] >= 4


@pytest.mark.parametrize("name", COUNTED)
def test_no_shipped_plan_maps_beyond_the_cap_or_half_pages(plan_of, name):
    plan = plan_of(name)

    maps = [op for task in plan.tasks for op in task.ops if isinstance(op, MapAnon | MapFile)]
    maps += [m for task in plan.tasks for op in task.ops if isinstance(op, Exec) for m in op.maps]
    ends = [0] * len(plan.files)
    for m in maps:
        assert m.addr % PAGE == m.length % PAGE == 0 < m.length
        if isinstance(m, MapFile):
            assert m.offset % PAGE == 0 <= m.offset
            ends[m.file] = max(ends[m.file], m.offset + m.length)
    assert ends == [file.size for file in plan.files]
    assert max(ends) == 64 * PAGE


@pytest.mark.parametrize("name", COUNTED)
def test_parents_come_first_and_every_child_is_forked_once(plan_of, name):
    plan = plan_of(name)

    forked = [(task.index, op.task) for task in plan.tasks for op in task.ops if isinstance(op, Fork)]
    assert sorted(child for _, child in forked) == [t.index for t in plan.tasks if t.parent is not None]
    assert all(plan.tasks[child].parent == parent < child for parent, child in forked)


def test_a_plan_survives_pickling(plan_of):
    plan = plan_of("pool")

    assert pickle.loads(pickle.dumps(plan)) == plan


def tasks(*programs):
    """A plan written by hand: a program per task; the first is a root, the others its children."""
    made = [Task(n, 100 + n, 0 if n else None, tuple(ops), n, 99) for n, ops in enumerate(programs)]
    return Plan("hand", tuple(made), ())


@pytest.mark.parametrize(
    ("programs", "why"),
    [
        (([Exec(()), Wait(1), Fork(1, False, False), Exit()], [Exit()]), "2 tasks can never finish"),
        (([Exec(()), Fork(1, False, False), Wait(1), Exit()], [Wait(0), Exit()]), "2 tasks can never finish"),
        (([Exec(()), Fork(1, True, True), Exit()], [After(0, 2), Exit()]), "2 tasks can never finish"),
        (([Exec(()), Fork(1, False, False), Exit()], [Lock(0, 0)]), "exits at"),
        (([Exec(()), Wait(7), Exit()],), "names task 7"),
        (([Exit()],), "no address space"),
    ],
)
def test_a_plan_that_cannot_end_is_refused(programs, why):
    with pytest.raises(TraceError, match=why):
        tasks(*programs).validate()


def test_a_plan_that_can_end_is_not_refused():
    tasks(
        [Exec(()), Fork(1, True, True), Fork(2, False, False), After(1, 2), Wait(2), Exit()],
        [Exec(()), After(0, 2), Exit()],
        [Wait(1), Exit()],
    ).validate()


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_limited_plan_is_a_plan(plan_of, name, count):
    limited = plan_of(name).limit(count)

    limited.validate()
    assert limited.summary()["tasks"] == count
    assert limited.summary()["forks"] == count - 1


def test_limiting_counts_the_dropped_ops_out_of_an_order():
    whole = tasks(
        [Exec(()), Fork(2, False, False), Fork(1, True, False), Unmap(0, PAGE), Exit()],
        [After(0, 4), Exit()],
        [Exit()],
    )

    assert whole.limit(2).tasks[1].ops == (After(0, 3), Exit())


def test_the_summary_counts_depth_and_life(plan):
    made = plan(
        '7 execve("x", ["x"], 0x1 /* 2 vars */) = 0',
        "7 fork() = 8",
        "8 fork() = 9",
        "9 +++ exited with 0 +++",
        "8 +++ exited with 0 +++",
        "7 fork() = 10",
        "10 +++ exited with 0 +++",
        "7 +++ exited with 0 +++",
    )

    summary = made.summary()
    assert (summary["tasks"], summary["max_depth"], summary["max_live"]) == (4, 2, 3)
