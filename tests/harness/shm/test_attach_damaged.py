"""A damaged arena file is refused in words, or used without harm: no signal, no hang, no bare error."""

import ctypes
import os
import random
import signal
import sys
import traceback
from contextlib import suppress

import pytest

from harness.errors import HarnessError
from harness.locks import order
from harness.shm import Arena, native
from harness.shm.roster import Roster
from harness.watch.snapshot import Reader, take
from harness.watch.watchdog import Watchdog
from tests.harness.actors import LIMIT_S, fork
from tests.harness.locks import held, reported
from tests.waiting import reap

SEEDS, ROUNDS = 6, 10
SIZES = (1, 2, 4, 8)


@pytest.fixture
def crashed(tmp_path):
    """The file of an arena whose threads were killed while they held locks, waited and slept."""
    path = tmp_path / "arena"
    with Arena.create("crashed", size=40_000, seats=6, path=path) as arena:
        first, both, bell = arena.mutex("m", rank=1), arena.rwlock("rw"), arena.channel("c")
        arena.native.mode |= 1  # recorded

        def holder():
            arena.native.sit("holder")
            arena.native.begin("op", 5)
            first.acquire()
            both.read()

        def sleeper():
            arena.native.sit("sleeper")
            signal.setitimer(signal.ITIMER_REAL, 0.05)  # killed in its sleep
            bell.block(bell.intend(), "wmesg", arena.header.seats, 4, 0, 77)

        reap(fork(holder))
        reap(fork(sleeper))
    return path


def use(arena):
    """What a program, a watcher and a dump would do with it."""
    for call in (
        lambda: Roster(arena).rows(left=True),
        lambda: take(Reader(arena), events=True),
        lambda: Watchdog(arena, None, with_stacks=False).scan(),
        lambda: (order.edges(arena), reported.reports(arena), held.all_held(arena)),
        lambda: arena.native.sit("user"),
        lambda: arena.mutex("m", rank=1).acquire(timeout=0.02),
        lambda: arena.mutex("m", rank=1).holder(),
        lambda: arena.mutex("new").acquire(timeout=0.02),
        lambda: arena.rwlock("rw").write(0.02),
        lambda: arena.rwlock("rw").holders(),
        lambda: arena.channel("c").wakeup(),
        lambda: arena.channel("c").wakeup_one(),
        lambda: arena.channel("c").block(arena.channel("c").intend(), "wmesg", timeout=0.02),
        lambda: arena.reserve("area", 100),
        arena.directory,
        lambda: arena.name,
    ):
        with suppress(HarnessError):
            call()


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The same with up to eight words changed, where they are followed without a second look."""
    header = native.Header.from_buffer_copy(content)
    seat, size = ctypes.sizeof(native.Seat), len(content)
    areas = [
        (0, native.Header.refusal.offset),
        (native.Header.mode.offset, ctypes.sizeof(native.Header)),
        (header.seats, header.seats + 2 * seat),
        (header.classes, header.classes + 6 * ctypes.sizeof(native.LockClass)),
        (header.directory, header.directory + 2 * ctypes.sizeof(native.Entry)),
        (header.heap_next - 1000, header.heap_next),
    ]
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        width = draw.choice(SIZES)
        at = draw.randrange(*draw.choice(areas)) // width * width
        value = draw.choice(
            [0, 1, (1 << 8 * width) - 1, 1 << 8 * width - 1, draw.randrange(1 << 8 * width), size]
        )
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(changed[:size])


def in_a_child(path, work):
    """Wait status, and the words of an error that is none of ours."""
    said = path.with_name("said")
    said.write_text("")

    def child():
        signal.alarm(int(LIMIT_S))
        try:
            with suppress(HarnessError):
                work()
        finally:
            if sys.exc_info()[0]:
                said.write_text(traceback.format_exc(limit=-3))
            os._exit(0)

    return reap(fork(child), 2 * LIMIT_S), said.read_text()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_file_is_refused_or_used_without_harm(seed, crashed):
    draw, content = random.Random(seed), crashed.read_bytes()
    for number in range(ROUNDS):
        crashed.write_bytes(damaged(content, draw))  # the same file: no copy, so its locks are used

        status, error = in_a_child(crashed, lambda: use(Arena.attach(path=crashed)))

        assert (status, error) == (0, ""), f"seed {seed}, round {number}"


def test_the_undamaged_file_is_used(crashed):
    def work():
        arena = Arena.attach(path=crashed)
        assert not arena.read_only
        holder = arena.mutex("m").holder()
        assert holder is not None
        assert holder.role == "holder"
        use(arena)
        assert arena.native.seat()

    assert in_a_child(crashed, work) == (0, "")


def test_one_wild_row_does_not_stop_the_watcher(arena):
    arena.native.sit("wild")
    row = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(1))
    row.activity, row.wait_lock = 5, 1 << 40  # sleeps on what is no channel

    snapshot = take(Reader(arena))

    assert snapshot.seats == []
    assert "seat 1 could not be read" in snapshot.notes[0]
    row.activity = 0


def test_bytes_that_are_no_text_are_shown(crashed):
    content = bytearray(crashed.read_bytes())
    name = native.Header.name.offset
    content[name : name + 3] = b"\xff\xfea"
    crashed.write_bytes(content)

    with Arena.attach(path=crashed) as arena:
        assert arena.name == "��ashed"
