import pickle
from ctypes import Structure, c_uint32

import pytest

from harness.errors import ArenaError
from harness.locks import Channel, LockClass, Mutex, RwLock
from harness.shm.layout import MutexRecord, guarded
from tests.harness.shm.records import Plain, Thing


def test_views_are_made_once_and_say_where_they_lie(arena):
    table = arena.table("things", Thing, 4)

    assert len(table) == table.count == 4
    assert len(table.views) == 5
    assert [view.slot for view in table.views] == [0, 1, 2, 3, 4]
    assert table[3] is table.views[3]
    assert table[3].address == table.offset + 3 * table.stride
    table[3].value = -5
    assert Thing.from_buffer(arena.mapping, table[3].address).value == -5


def test_every_embedded_lock_is_a_live_lock_of_its_record(arena):
    ids = {name: LockClass(name).declare(arena) for name in ("thing", "sleepers")}
    table = arena.table("things", Thing, 4, classes={"lock_": ids["thing"], "chan_": ids["sleepers"]})

    view = table[2]

    assert isinstance(view.lock, Mutex)
    assert isinstance(view.chan, Channel)
    assert isinstance(view.map, RwLock)
    assert view.lock.offset == view.address + Thing.lock_.offset
    assert (view.lock.name, view.chan.name, view.map.name) == ("thing[2]", "sleepers[2]", "lock[2]")
    with table[1].lock, view.lock:
        assert view.lock.held()
        assert not table[3].lock.locked()


def test_opening_does_not_format_the_locks_again(arena, actors):
    table = arena.table("things", Thing, 4)

    def other(me):
        arena.tables.clear()
        again = arena.table("things", Thing, 4)
        assert again is not table
        assert not again[1].lock.try_acquire()
        again[2].lock.acquire()
        me.say("taken")
        me.hear("end")
        again[2].lock.release()

    with table[1].lock:
        actor = actors.actor(other)
        actor.expect("taken")

        assert table[2].lock.locked()
        actor.tell("end")
        actor.end()


def test_a_pickled_table_is_the_same_table(arena):
    table = arena.table("things", Plain, 4)

    assert pickle.loads(pickle.dumps(table)) is table


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("slot", ((".", "slot", c_uint32, ""),)),
        ("address", ((".", "address", c_uint32, ""),)),
        ("lock", ((".", "lock", c_uint32, ""), ("=", "lock_", MutexRecord, ""))),
    ],
)
def test_a_field_that_views_would_overwrite_is_refused(arena, name, rows):
    fields, guards, _ = guarded(*rows)
    record = type("Record", (Structure,), {"_fields_": fields, "GUARDS": guards})

    with pytest.raises(ArenaError, match=f"record Record has a field '{name}'"):
        arena.table("things", record, 2)
