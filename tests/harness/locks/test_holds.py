"""The word decides who holds a lock; a row of a seat only says where and since when."""

import pytest

from harness import _native
from harness.errors import OwnerDied
from harness.shm import native
from tests.harness.actors import LIMIT_S
from tests.harness.locks import held

C = _native.CONSTANTS


@pytest.fixture(autouse=True)
def seat(arena):
    return arena.native.sit("test")


def all_that_say_who_holds(arena, lock) -> list[object]:
    who = [lock.holder(), *held.all_held(arena), *arena.native.held()]
    return who + (lock.holders() if hasattr(lock, "holders") else [])


def test_a_reader_that_has_left_its_cell_holds_nothing(arena):
    lock = arena.rwlock("map")
    record = native.RwLock.from_buffer(arena.mapping, lock.offset)
    lock.read()
    assert len(all_that_say_who_holds(arena, lock)) == 4
    cells = record.cells[0]

    record.cells[0] = 0  # as a release leaves it half-way

    assert all_that_say_who_holds(arena, lock) == [None]
    assert arena.native.depth() == 0
    record.cells[0] = cells
    lock.release()


@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_a_word_of_an_earlier_occupant_of_the_seat_is_not_this_ones(kind, arena, seat):
    lock = getattr(arena, kind)("tested")
    record = (native.Mutex if kind == "mutex" else native.RwLock).from_buffer(arena.mapping, lock.offset)
    word = "owner" if kind == "mutex" else "writer"
    lock.acquire()
    before = getattr(record, word)

    setattr(record, word, before + C["SEAT_MASK"] + 1)  # the next generation

    assert getattr(record, word) & C["SEAT_MASK"] == seat
    assert all_that_say_who_holds(arena, lock) == [None]
    setattr(record, word, before)
    lock.release()


def test_a_lock_that_is_only_asked_for_is_not_held(arena, actors):
    lock = arena.mutex("tested")
    row = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.seat())).held[0]
    lock.acquire()
    kind = row.kind

    row.kind = kind | C["INTENT"]  # as it is while the word is taken

    assert held.mine(arena) == arena.native.held() == []
    assert lock.holder().role == "test"  # its word is whole: it has it
    row.kind = kind
    lock.release()


@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_a_dead_holder_is_shown_as_dead_until_its_place_is_taken(kind, arena, actors):
    lock = getattr(arena, kind)("tested")

    def body(me):
        arena.native.sit("victim")
        lock.acquire()
        me.say("holding")
        me.hear("never")

    actor = actors.actor(body)
    actor.expect("holding")
    assert lock.holder().alive
    pid = actor.pid
    actor.kill()

    who = lock.holder()

    assert (who.pid, who.tid, who.role, who.alive) == (pid, pid, "victim", False)
    assert who.held_for >= 0
    assert who[:6] == (who.seat, who.pid, who.tid, who.role, who.site, who.since)
    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT_S)
    assert (lock.holder().role, lock.holder().alive) == ("test", True)
    lock.recover()
    lock.release()
    assert lock.holder() is None


def test_a_dead_reader_is_not_there(arena, actors):
    lock = arena.rwlock("map")

    def body(me):
        lock.read()
        me.say("reading")
        me.hear("never")

    actor = actors.actor(body)
    actor.expect("reading")
    assert [row.kind for row in lock.holders()] == ["read"]
    actor.kill()

    assert (lock.holders(), lock.holder()) == ([], None)
    assert lock.try_write()


def test_the_writer_comes_before_readers(arena, actors):
    lock = arena.rwlock("map")
    lock.read()
    assert (lock.holder().role, lock.holders()[0].kind) == ("test", "read")

    lock.upgrade()

    assert (lock.holder().role, lock.holders()[0].kind) == ("test", "write")
    assert lock.holders()[0][:6] == tuple(lock.holder())
    lock.release()
