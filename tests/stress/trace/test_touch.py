import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.ops.address_map import EXECUTE, READ, WRITE
from stress.trace import AddressMap, Plan, Range, TouchModel, build_plan
from stress.trace.ops import PAGE, After, Exec, Exit, Fork, MapAnon, MapFile, Mremap, Protect, Unmap, Wait
from stress.trace.touch import HOT_PAGES, Touch, apply

RW = READ | WRITE
BASE = Exec(
    (
        MapFile(0x400000, 8 * PAGE, READ | EXECUTE, False, True, 0, 0),
        MapAnon(0x800000, 16 * PAGE, RW, False, True),
    )
)


def all_touches(plan: Plan, model: TouchModel) -> list[list[Touch]]:
    """Every touch of every task, in program order: what any replay of the plan will make."""
    pictures = {task.index: plan.picture(task.index) for task in plan.tasks if task.parent is None}
    result = []
    for task in plan.tasks:  # parents come first, so every child's picture is there in time
        picture = pictures.pop(task.index)
        drawn = [] if task.parent is None else model.at_birth(picture, task.index)
        for at, op in enumerate(task.ops):
            if isinstance(op, Fork):
                pictures[op.task] = plan.child_picture(op.task, picture)
            drawn += model.touches(picture, task.index, at, op)
        result.append(drawn)
    return result


def started(model: TouchModel, task: int = 0) -> AddressMap:
    picture = AddressMap()
    model.touches(picture, task, 0, BASE)
    return picture


# The picture, against a dict of pages. --------------------------------------------------------------

PAGES = st.integers(0, 15)
SPANS = st.tuples(PAGES, st.integers(1, 6))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("map"), SPANS, st.integers(0, 3), st.integers(-1, 1), st.booleans()),
        st.tuples(st.just("unmap"), SPANS),
        st.tuples(st.just("protect"), SPANS, st.integers(0, 3)),
        st.tuples(st.just("move"), SPANS, st.integers(20, 30), st.integers(1, 6)),
    ),
    max_size=12,
)


def do(picture: AddressMap, pages: dict[int, tuple[int, bool, int, int]], step) -> None:
    """One step on both; pages: number -> (rights, shared, file, offset of the page or 0)."""
    kind, (first, count) = step[:2]
    low, high = first * PAGE, (first + count) * PAGE
    inside = range(first, first + count)
    if kind == "map":
        prot, file, shared = step[2:]
        picture.map(Range(low, high, prot, shared, file, 0))
        pages.update({n: (prot, shared, file, (n - first) * PAGE if file >= 0 else 0) for n in inside})
    elif kind == "unmap":
        picture.unmap(low, high)
        for n in inside:
            pages.pop(n, None)
    elif kind == "protect":
        picture.protect(low, high, step[2])
        pages.update({n: (step[2], *pages[n][1:]) for n in inside if n in pages})
    else:
        new = step[2]
        picture.move(low, high - low, new * PAGE, min(count, step[3]) * PAGE)
        moved = {new + n - first: pages.pop(n) for n in inside if n in pages}
        for n in range(new, new + min(count, step[3])):
            pages.pop(n, None)
        pages.update({n: v for n, v in moved.items() if n < new + min(count, step[3])})


def by_page(picture: AddressMap) -> dict[int, tuple[int, bool, int, int]]:
    return {
        n: (r.prot, r.shared, r.file, r.offset + n * PAGE - r.start if r.file >= 0 else 0)
        for r in picture
        for n in range(r.start // PAGE, r.end // PAGE)
    }


@given(STEPS, STEPS, SPANS)
@settings(max_examples=200, deadline=None)
def test_a_picture_says_of_every_page_what_a_table_of_pages_says(before, after, span):
    picture = AddressMap()
    pages: dict[int, tuple[int, bool, int, int]] = {}
    for step in before:
        do(picture, pages, step)
    copy, frozen = picture.copy(), dict(pages)
    for step in after:
        do(picture, pages, step)

    assert by_page(picture) == pages
    assert by_page(copy) == frozen
    ranges = list(picture)
    assert all(a.end <= b.start for a, b in pairwise(ranges))
    low, high = span[0] * PAGE, (span[0] + span[1]) * PAGE
    mapped = {n for a, b in picture.runs(low, high) for n in range(a // PAGE, b // PAGE)}
    holes = {n for a, b in picture.holes(low, high) for n in range(a // PAGE, b // PAGE)}
    assert mapped == {n for n in range(span[0], sum(span)) if n in pages}
    assert holes == set(range(span[0], sum(span))) - mapped
    for n in range(40):
        rights = [piece.prot for piece in picture.parts(n * PAGE, (n + 1) * PAGE)]
        assert rights == ([pages[n][0]] if n in pages else [])


def test_a_moved_region_that_grows_keeps_its_rights_to_the_new_end():
    picture = AddressMap((Range(0, 2 * PAGE, RW),))

    picture.move(0, 2 * PAGE, 8 * PAGE, 4 * PAGE)

    assert list(picture) == [Range(8 * PAGE, 12 * PAGE, RW)]


def test_a_heap_that_grows_is_one_range_and_shared_regions_stay_two():
    picture = AddressMap()

    for shared in (False, True):
        at = 100 * PAGE * shared
        picture.map(Range(at, at + PAGE, RW, shared))
        picture.map(Range(at + PAGE, at + 2 * PAGE, RW, shared))

    picture.map(Range(2 * PAGE, 3 * PAGE, RW, True))

    assert len(picture) == 4


# The model. ------------------------------------------------------------------------------------------


def test_touches_depend_on_seed_task_and_position_and_on_nothing_else():
    op = MapAnon(0x900000, 8 * PAGE, RW, False, False)

    def drawn(seed: int, task: int, at: int) -> list[tuple[bool, int]]:
        return TouchModel(seed, 40, 40).touches(started(TouchModel(seed), task), task, at, op)

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({tuple(drawn(*key)) for key in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]}) == 4


def test_what_was_just_mapped_is_touched_first_page_first():
    model = TouchModel(5, 8, 8)
    picture = started(model)

    touches = model.touches(picture, 0, 1, MapAnon(0x900000, 64 * PAGE, RW, False, False))

    new = [va for _, va in touches if va >= 0x900000]
    assert new[0] == 0x900000
    assert {0x900000, 0x901000, 0x902000} <= set(new)
    assert max(new) < 0x900000 + HOT_PAGES * PAGE


def test_parent_and_child_both_write_after_a_fork():
    model = TouchModel(5)
    picture = started(model)
    child = picture.copy()

    parents = model.touches(picture, 0, 1, Fork(1, False, False))
    childs = model.at_birth(child, 1)

    assert sum(write for write, _ in parents) >= 3
    assert sum(write for write, _ in childs) >= 3
    assert parents != childs


def test_an_exit_reads_before_everything_is_gone():
    model = TouchModel(5)
    picture = started(model)

    touches = model.touches(picture, 0, 1, Exit())

    assert len(touches) >= 8
    assert not any(write for write, _ in touches)
    assert len(picture) == 0


def test_nothing_mapped_means_nothing_touched():
    assert TouchModel(1).touches(AddressMap(), 0, 0, Exec(())) == []


def test_shared_files_are_mostly_read():
    model = TouchModel(5, 100, 100)
    shared = MapFile(0x10000, 8 * PAGE, RW, True, False, 0, 0)

    touches = model.touches(AddressMap(), 0, 0, Exec((shared,)))

    assert 0 < sum(write for write, _ in touches) < len(touches) / 4


def test_what_others_change_is_never_touched():
    model = TouchModel(5, 50, 50)
    picture = AddressMap(avoid=((0x800000 + PAGE, 0x800000 + 4 * PAGE), (0x400000, 0x400000 + PAGE)))

    touched = {va for _, va in model.touches(picture, 0, 0, BASE)}

    assert {0x800000, 0x804000, 0x401000} <= touched
    assert not touched & {0x801000, 0x802000, 0x803000, 0x400000}


def test_negative_rates_are_refused():
    with pytest.raises(ValueError, match="negative"):
        TouchModel(1, reads_per_op=-1)


@pytest.mark.parametrize("seed", [1, 88123])
def test_the_whole_configure_trace_is_worth_its_audit(plan_of, seed):
    touches = [t for task in all_touches(plan_of("configure"), TouchModel(seed)) for t in task]

    writes = sum(write for write, _ in touches)
    assert 150_000 < len(touches) < 250_000
    assert len(touches) - writes > 120_000  # content reads promised: more than 100,000
    assert writes > 40_000


# Every touch of a plan against the address spaces themselves, under any interleaving. ------------------


class World:
    """Carries a plan out with one picture per *address space*, shared as the plan says."""

    def __init__(self, plan: Plan, model: TouchModel, rng: random.Random) -> None:
        self.plan, self.model, self.rng = plan, model, rng
        self.done = [0] * len(plan.tasks)
        self.released = [False] * len(plan.tasks)
        self.runners = {
            t.index: self.run(t.index, AddressMap(), plan.picture(t.index))
            for t in plan.tasks
            if t.parent is None
        }
        self.drawn: dict[int, list[tuple[bool, int]]] = {t.index: [] for t in plan.tasks}
        self.failures: list[str] = []
        self.checked = 0

    def all(self) -> None:
        while self.runners:
            index = self.rng.choice(list(self.runners))
            for _ in range(self.rng.randrange(1, 8)):
                if next(self.runners[index], None) is None:
                    del self.runners[index]
                    break

    def blocked(self, op) -> bool:
        if isinstance(op, Wait):
            return self.done[op.task] < len(self.plan.tasks[op.task].ops)
        return isinstance(op, After) and self.done[op.task] < op.done

    def run(self, index: int, space: AddressMap, picture: AddressMap) -> Iterator[bool]:
        """Yields wherever another task may come in between: also between an op and its touches."""
        task = self.plan.tasks[index]
        if task.parent is not None:
            yield from self.touch(index, space, self.model.at_birth(picture, index))
        for at, op in enumerate(task.ops):
            while self.blocked(op):
                yield True
            if isinstance(op, Fork):
                child = space if op.share else space.copy()
                self.runners[op.task] = self.run(op.task, child, self.plan.child_picture(op.task, picture))
                while op.wait_release and not self.released[op.task]:
                    yield True
            touches = self.model.touches(picture, index, at, op)
            if isinstance(op, Exit):
                yield from self.touch(index, space, touches)
            elif isinstance(op, Exec):
                space = AddressMap()
                apply(space, op)
            else:
                self.change(index, space, op)
            self.done[index] += 1
            self.released[index] |= isinstance(op, Exec | Exit)
            if not isinstance(op, Exit):
                yield from self.touch(index, space, touches)
            yield True

    def change(self, index: int, space: AddressMap, op) -> None:
        if isinstance(op, Protect) and space.holes(op.addr, op.addr + op.length):
            self.failures.append(f"task {index}: {op} has holes")
        if isinstance(op, Mremap) and space.holes(op.old, op.old + op.old_length):
            self.failures.append(f"task {index}: {op} has holes")
        if isinstance(op, Unmap) and not space.parts(op.addr, op.addr + op.length):
            self.failures.append(f"task {index}: {op} finds nothing")
        apply(space, op)

    def touch(self, index: int, space: AddressMap, touches) -> Iterator[bool]:
        self.drawn[index] += touches
        for write, va in touches:
            yield True
            self.checked += 1
            (hit,) = space.parts(va, va + PAGE) or [Range(va, va, 0)]
            if hit.prot & (RW if write else READ) != (RW if write else READ):
                self.failures.append(f"task {index}: {va:#x} write={write} finds {hit}")
            elif hit.file >= 0 and hit.offset + PAGE > self.plan.files[hit.file].size:
                self.failures.append(f"task {index}: {va:#x} is behind the end of file {hit.file}")


@pytest.mark.parametrize("name", ["make", "pool"])
def test_every_touch_is_allowed_and_the_same_however_tasks_interleave(plan_of, name):
    plan, model = plan_of(name), TouchModel(3)
    expected = all_touches(plan, model)

    for seed in range(4):
        world = World(plan, model, random.Random(seed))
        world.all()

        assert world.failures == []
        assert [world.drawn[task.index] for task in plan.tasks] == expected
        assert world.checked == sum(map(len, expected))


def test_every_touch_of_the_first_configure_tasks_is_allowed(plan_of):
    world = World(plan_of("configure").limit(300), TouchModel(4), random.Random(4))
    world.all()

    assert world.failures == []
    assert world.checked > 10_000


def test_touches_stay_away_from_what_another_thread_takes_away(log):
    plan = build_plan(
        log(
            '7 execve("x", ["x"], 0x1 /* 2 vars */) = 0',
            "7 mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
            "7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8",
            "8 munmap(0x10000, 32768) = 0",
            *["7 mprotect(0x400000, 4096, PROT_READ|PROT_WRITE) = 0"] * 20,
            "7 fork() = 9",
        )
    )
    bold = replace(plan, tasks=tuple(replace(task, avoid=()) for task in plan.tasks))

    def failures(of: Plan) -> list[str]:
        worlds = [World(of, TouchModel(3), random.Random(seed)) for seed in range(8)]
        for world in worlds:
            world.all()
        return [failure for world in worlds for failure in world.failures]

    assert failures(plan) == []
    assert failures(bold)  # so the worlds above did look
