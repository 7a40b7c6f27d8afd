import os
import pickle
from ctypes import Structure, c_uint32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ArenaError, DoubleFree, RecordError, StaleReference, TableFull
from harness.locks import LockClass
from harness.shm import Arena, Pool
from harness.shm.layout import guarded
from harness.shm.pool import JUNK
from harness.shm.roster import Roster
from tests.harness.actors import wait_until
from tests.harness.locks import reported
from tests.harness.shm.records import Plain, Thing

COUNT = 6
FIELDS = ("before", "value")


def new_pool(arena, count=COUNT, name="things") -> Pool[Thing]:
    ids = {row: LockClass(row, nest=True).declare(arena) for row in ("lock_", "chan_", "map_")}
    return Pool(arena, name, Thing, count, arena.mutex("pool"), option="--things", classes=ids)


@pytest.fixture
def pool(arena):
    return new_pool(arena)


def lock_bytes(record) -> bytes:
    return bytes(record.lock_) + bytes(record.chan_) + bytes(record.map_)


def junk_bytes(record) -> set[int]:
    """Every byte of a record but those of its head, its locks, and padding between rows."""
    return {
        byte
        for name, *_ in Thing._fields_
        if name in {"before", "value", "array"}
        for byte in bytes(record)[getattr(Thing, name).offset :][: getattr(Thing, name).size]
    }


@given(st.lists(st.tuples(st.sampled_from(["allocate", "free", "free again", "look"]), st.integers(0, 99))))
@settings(max_examples=60)
def test_a_pool_behaves_like_a_set_of_slots(actions):
    with Arena.create("model", size=1 << 16, seats=2) as arena:
        pool = new_pool(arena)
        live: dict[int, int] = {}  # slot -> ref
        dead: list[int] = []
        locks = {view.slot: lock_bytes(view) for view in pool.views}
        for what, number in actions:
            if what == "allocate":
                record = pool.allocate()
                assert (record is None) == (len(live) == COUNT)
                if record is not None:
                    assert record.slot not in live
                    assert (record.before, record.value, *record.array) == (0,) * 5
                    record.before = record.value = record.slot
                    live[record.slot] = pool.ref(record)
                    assert live[record.slot] not in dead
            elif what == "free" and live:
                slot = sorted(live)[number % len(live)]
                pool.free(pool.views[slot])
                dead.append(live.pop(slot))
                assert junk_bytes(pool.views[slot]) == {JUNK}
            elif what == "free again" and len(live) < COUNT:
                free = sorted(set(range(1, COUNT + 1)) - set(live))
                with pytest.raises(DoubleFree):
                    pool.free(pool.views[free[number % len(free)]])
            assert pool.in_use() == len(live)
            assert [record.slot for record in pool.live()] == sorted(live)
            for slot, ref in live.items():
                assert pool(ref) is pool.views[slot]
                assert (pool.views[slot].before, pool.views[slot].value) == (slot, slot)
            for ref in dead:
                with pytest.raises(StaleReference):
                    pool(ref)
        assert {view.slot: lock_bytes(view) for view in pool.views} == locks


def test_a_free_record_is_junk_and_its_link_is_stale_at_the_access(pool):
    record = pool.allocate()
    ref = pool.ref(record)
    assert ref == 1 << 32 | record.slot

    pool.free(record)

    assert record.before == int.from_bytes([JUNK] * 8)
    with pytest.raises(StaleReference, match=r"stale link to things\[1\]: it names generation 1") as caught:
        pool(ref)
    assert (caught.value.slot, caught.value.held, caught.value.current) == (1, 1, 2)


def test_freeing_leaves_the_lock_held_and_the_channel_alone(pool):
    record = pool.allocate()
    record.chan.wakeup()
    intent = record.chan.intend()
    with record.lock, record.map:
        pool.free(record)

        assert record.lock.held()
        assert record.map.held() == "write"
        assert record.chan.intend() == intent > 0
    assert pool.allocate() is record
    assert record.chan.intend() == intent


def test_a_double_free_of_a_record_of_junk_is_found_and_reported(arena, pool):
    record = pool.allocate()
    pool.free(record)
    record.next_free = record.generation = 0xDBDBDBDB

    with pytest.raises(DoubleFree, match=r"things\[1\] is freed twice"):
        pool.free(record)

    assert pool.in_use() == 0
    assert [(report.kind, report.text) for report in reported.reports(arena)] == [
        ("stale", "things[1] is freed twice")
    ]


def test_generations_skip_zero(pool):
    record = pool.allocate()
    record.generation = 0xFFFFFFFF

    pool.free(record)

    assert record.generation == 1


@pytest.mark.parametrize("ref", [0, 1 << 32, 5 << 32 | COUNT + 1, 1 << 32 | 0xFFFFFFFF])
def test_null_and_what_lies_outside_are_no_records(pool, ref):
    with pytest.raises(RecordError, match="things"):
        pool(ref)


def test_a_full_pool_gives_none_or_names_the_option(pool):
    while pool.allocate():
        pass

    assert pool.in_use() == COUNT
    with pytest.raises(TableFull, match=r"'things' is full: all 6 records") as caught:
        pool.allocate_or_raise()
    assert caught.value.hint == "hangdog run --things 12"


def test_a_record_of_another_pool_is_refused(arena, pool):
    other = new_pool(arena, name="others")
    record = other.allocate()

    with pytest.raises(RecordError, match="no record of pool 'things'"):
        pool.free(record)

    assert other.in_use() == 1


def test_a_record_without_the_pools_rows_in_front_is_refused(arena):
    fields, _, _ = guarded((".", "next_free", c_uint32, ""), (".", "generation", c_uint32, ""))
    swapped = type("Swapped", (Structure,), {"_fields_": fields})

    for record in (swapped, Plain):
        with pytest.raises((ArenaError, AttributeError)):
            Pool(arena, "wrong", record, 3, arena.mutex("pool"))


def test_a_pickled_pool_allocates_from_the_same_records(pool):
    first = pool.allocate()

    again = pickle.loads(pickle.dumps(pool))

    assert again(pool.ref(first)) is first
    assert again.allocate().slot == 2
    assert pool.in_use() == 2


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_no_record_is_given_to_two_at_once(arena, actors, mode):
    pool = new_pool(arena, count=5)
    rounds = 150

    def worker(me):
        me.say("ready")
        me.hear("go")
        mark = arena.native.seat()
        for _ in range(rounds):
            mine = [record for record in (pool.allocate(), pool.allocate()) if record]
            for record in mine:
                record.before = mark
            os.sched_yield()
            for record in mine:
                assert record.before == mark
                ref = pool.ref(record)
                pool.free(record)
                with pytest.raises(StaleReference):
                    pool(ref)

    workers = [actors.actor(worker, mode) for _ in range(4)]
    for actor in workers:
        actor.expect("ready")
    for actor in workers:
        actor.tell("go")
    for actor in workers:
        actor.end()

    assert pool.in_use() == 0
    assert sorted(pool.allocate_or_raise().slot for _ in range(5)) == [1, 2, 3, 4, 5]
    assert pool.allocate() is None


@pytest.mark.parametrize("step", ["allocate", "free"])
def test_the_free_list_is_touched_under_the_pools_lock_only(arena, pool, actors, step):
    record = pool.allocate()
    used = pool.in_use()

    def body(me):
        pool.allocate() if step == "allocate" else pool.free(record)

    with pool.lock:
        actor = actors.actor(body)
        wait_until(
            lambda: [r for r in Roster(arena).rows() if r.activity == "wait mutex"], "the lock's waiter"
        )
        assert pool.in_use() == used
        assert pool.is_live(record.slot)
    actor.end()

    assert pool.in_use() == used + (1 if step == "allocate" else -1)


def test_a_process_killed_while_it_makes_a_pool_leaves_a_usable_one(arena, actors, monkeypatch):
    def maker(me):
        def stop(_self):
            me.say("laying down")
            me.hear("never")

        monkeypatch.setattr(Pool, "_link_all", stop)
        new_pool(arena)

    dying = actors.actor(maker)
    dying.expect("laying down")
    dying.kill()

    pool = new_pool(arena)

    assert sorted(pool.allocate_or_raise().slot for _ in range(COUNT)) == [1, 2, 3, 4, 5, 6]


def test_views_are_the_tables_own_list(pool):
    assert type(pool.views) is list
    assert pool.views is pool.table.views
