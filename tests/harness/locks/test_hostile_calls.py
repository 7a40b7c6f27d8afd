"""Calls that make no sense, and text that is no text, are errors or answers; never a crash."""

import subprocess
import sys
from typing import Any

import pytest

from harness import _native
from harness.errors import HeldTooMany, OwnerDied
from harness.shm import native
from tests.harness.actors import LIMIT_S
from tests.harness.locks import reported

C = _native.CONSTANTS


@pytest.fixture(autouse=True)
def seated(arena):
    arena.native.sit("test")


# --- objects


@pytest.mark.parametrize("name", ["Arena", "Mutex", "RwLock", "Channel"])
def test_no_object_is_had_without_its_arena(name, arena):
    made = getattr(_native, name)

    with pytest.raises(TypeError):
        made.__new__(made)
    with pytest.raises(TypeError):
        object.__new__(made)


@pytest.mark.parametrize("name", ["Resolver", "Contract"])
def test_an_object_that_was_not_initialised_cannot_be_called(name):
    made = getattr(_native, name)

    with pytest.raises(TypeError):
        made.__new__(made)(1)


def test_initialising_a_lock_again_does_not_move_it(arena):
    one, two = arena.mutex("one"), arena.mutex("two")

    one.__init__(arena.native, two.offset)

    assert one.name == "one[0]"


@pytest.mark.parametrize("offset", [0, 8, 4096, 12288, 1 << 63, (1 << 64) - 8])
def test_a_lock_lies_behind_the_tables_and_inside_the_arena(offset, arena):
    for made in (_native.Mutex, _native.RwLock, _native.Channel):
        with pytest.raises(ValueError, match="no lock record"):
            made(arena.native, offset)
        with pytest.raises(ValueError, match="no lock record"):
            made.format(arena.native, offset, 1, 0)


def test_a_lock_lies_on_a_word(arena):
    with pytest.raises(ValueError, match="no lock record"):
        _native.Mutex(arena.native, arena.mutex("m").offset + 4)


@pytest.mark.parametrize(
    ("base", "stride", "generation", "rows"),
    [(1 << 63, 8, 0, 3), (4096, 1 << 62, 0, 4), (4096, 8, 1 << 40, 3), (4096, 8, 8, 3), (2, 8, 0, 3)],
)
def test_a_resolver_of_a_table_outside_the_arena_is_refused(base, stride, generation, rows, arena):
    with pytest.raises(ValueError, match="inside the arena"):
        _native.Resolver(arena.native, base, stride, generation, [None] * rows, "table")


def test_a_report_about_no_lock_is_a_report(arena):
    huge = (1 << 64) - 8
    for lock in (1 << 45, huge, 3):
        arena.native.report(C["REPORT_CONTRACT"], "x" * 5000, lock, lock)

    assert [report.kind for report in reported.reports(arena)] == ["contract"] * 3


def test_numbers_that_fit_nowhere_are_refused_or_cut(arena):
    for wrong in (-1, 0, 33, 1 << 31):
        with pytest.raises((IndexError, OverflowError)):
            arena.native.seat_dead(wrong)
        with pytest.raises((IndexError, OverflowError)):
            arena.native.held_by(wrong)
    assert arena.native.site((1 << 32) - 1)[0] == "?"
    assert arena.native.name((1 << 63) - 1) == ""
    with pytest.raises(IndexError):
        arena.native.view(1 << 40, 1 << 40)
    for wrong in (0, -1, 1 << 40, 1 << 70):
        for call in (arena.native.claim, arena.native.pass_on, arena.native.unclaim, arena.native.changed):
            with pytest.raises((ValueError, OverflowError)):
                call(wrong)


# --- text


def test_text_that_is_cut_in_the_middle_of_a_character_can_be_read(arena):
    lock, shared = arena.mutex("m"), arena.rwlock("r")
    space: dict[str, Any] = {}
    name = "ф" * 60
    exec(compile(f"def {name}(lock):\n lock.acquire()\n", "/" + "ü" * 200 + ".py", "exec"), space)
    arena.native.sit("ü" * 20)
    arena.native.begin("é" * 30)

    space[name](lock)
    space[name](shared)

    for who in (lock.holder(), shared.holder(), shared.holders()[0]):
        assert (who.role[:3], who.role[-1]) == ("üüü", "�")
        assert (who.site[1], who.site[2][:2]) == (2, "фф")
        assert "ü" in who.site[0]
    seat = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.seat()))
    assert arena.native.name(seat.operation).startswith("éé")
    lock.release()
    shared.release()


def test_bytes_of_another_program_that_are_no_text_can_be_read(arena):
    lock = arena.mutex("m")
    lock.acquire()
    seat = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.seat()))
    seat.role = b"\xff\xfe" * 15
    row = native.LockClass.from_buffer(
        arena.mapping, arena.header.classes + lock.class_id * _native.LAYOUT["hd_class"][0]
    )
    row.name = b"\xff" * 39

    assert lock.holder().role == "�" * 30
    assert lock.name == "�" * 39 + "[0]"
    assert "�" in repr(lock)
    lock.release()


# --- tables that are full


def test_operations_are_counted_without_room_for_their_names(arena):
    seat = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.seat()))
    told = []
    for i in range(2 * C["NAMES"]):
        arena.native.begin(f"job {i}")
        told.append((seat.operation, arena.native.name(seat.operation)))
        arena.native.end()

    assert all(number for number, _ in told)
    assert told[0][1] == "job 0"
    assert told[-1][1] == "(more names than fit)"
    assert {name for i, (_, name) in enumerate(told) if name != f"job {i}"} == {"(more names than fit)"}
    arena.native.begin("job 0")
    assert arena.native.name(seat.operation) == "job 0"
    assert seat.steps == 2 * C["NAMES"]


def test_too_many_locks_is_refused_before_taking_and_hides_no_death(arena, actors):
    wanted = arena.mutex("wanted")
    held = [arena.mutex("many", i, nest=True) for i in range(C["MAX_HELD"])]

    def dies(me):
        wanted.acquire()
        me.say("holding")
        me.hear("never")

    actor = actors.actor(dies)
    actor.expect("holding")
    actor.kill()
    for lock in held:
        lock.acquire()

    for take in (wanted.try_acquire, lambda: wanted.acquire(timeout=LIMIT_S)):
        with pytest.raises(HeldTooMany):
            take()

    assert not wanted.held()
    for lock in held:
        lock.release()
    with pytest.raises(OwnerDied):
        wanted.acquire(timeout=LIMIT_S)
    wanted.recover()
    wanted.release()


# --- interpreters


def test_the_module_is_not_loaded_into_a_second_interpreter():
    program = """
try:
    import _interpreters as interpreters
    run = lambda text: interpreters.run_string(interpreters.create("legacy"), text)
except ImportError:
    import _xxsubinterpreters as interpreters
    run = lambda text: interpreters.run_string(interpreters.create(), text)
import harness._native as native
from harness.shm.arena import Arena
import harness.locks
lock = Arena.create("one", seats=4).mutex("m")
wanted = '''
try:
    import harness._native
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    raise SystemError("it was loaded")
'''
error = run(wanted)
assert error is None, error
again = native.Mutex(lock.arena, lock.offset)
with again:
    print("still works")
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert (done.stderr, done.stdout) == ("", "still works\n")
