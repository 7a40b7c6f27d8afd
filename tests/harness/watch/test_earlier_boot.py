"""A file that was left over by an earlier boot: the kernel that would have marked its dead is gone."""

import os

import pytest

from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.roster import Roster
from harness.watch.snapshot import Reader, take
from stress.cli.dump import dump_of
from tests.harness.actors import wait_until
from tests.harness.watch.looking import me, waiting


@pytest.fixture
def left(actors, tmp_path):
    """A file in which one thread holds a lock and another waits for it, when the power fails."""
    arena = Arena.create("left", size=1 << 16, seats=8, path=tmp_path / "arena")
    lock = arena.mutex("m")

    def holder(actor):
        me(arena, "holder")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    def waiter(_actor):
        me(arena, "waiter")
        lock.acquire()

    actors.actor(holder).expect("holding")
    actors.actor(waiter)
    wait_until(waiting(arena, "waiter"), "the waiter")
    arena.native.leave()
    arena.close()
    return tmp_path / "arena"


def restarted(left):
    """As if another boot of the kernel had made it; its threads cannot have marked anything."""
    with left.open("r+b") as file:
        file.seek(native.Header.kernel_boot.offset)
        file.write(b"another!")
    return left


def copy_of(left):
    """Not the mapping that this process has of it, which knows the present boot."""
    copy = left.with_name("after the boot")
    copy.write_bytes(left.read_bytes())
    return restarted(copy)


def test_all_that_sit_in_it_are_dead_and_one_sentence_says_so(left):
    with Arena.attach(path=copy_of(left)) as arena:
        told = take(Reader(arena))

        assert [(seat.role, seat.dead, seat.state) for seat in told.seats] == [
            ("holder", True, "-"),
            ("waiter", True, "-"),
        ]
        assert [row.dead for row in Roster(arena).rows()] == [True, True]
        dump = dump_of(arena, "here", stacks=True)

    assert dump.summary.startswith(
        "left over by an earlier boot of the machine: all 2 threads in it are dead"
    )
    assert dump.processes == [], "their numbers may be those of others by now"


def test_without_a_restart_they_live(left):
    with Arena.attach(path=left) as arena:
        told = take(Reader(arena))

    assert [(seat.role, seat.dead) for seat in told.seats] == [("holder", False), ("waiter", False)]
    assert all(os.path.exists(f"/proc/{seat.pid}") for seat in told.seats)
