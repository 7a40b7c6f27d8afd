"""What only a read/write lock can do; exclusive use is in the battery."""

import inspect
import os
import sys

import pytest

from harness import _native
from harness.errors import NotOwner, SelfDeadlock
from harness.shm import native
from harness.shm.roster import Roster
from tests.harness.actors import wait_until
from tests.harness.locks import held, reported
from tests.harness.shm.records import Plain

_C = _native.CONSTANTS


@pytest.fixture
def lock(arena):
    arena.native.sit("test")
    return arena.rwlock("map")


@pytest.fixture(params=["thread", "process"])
def mode(request):
    return request.param


def counts(lock):
    row = native.RwLock.from_buffer(lock.home.mapping, lock.offset)
    seats = range(1, int(lock.home.header.seat_count) + 1)
    mask = _C["SEAT_MASK"]
    return {
        "readers": sum(native.reading(row, seat) for seat in seats),
        "writer": row.writer & mask,
        "upgrader": row.upgrader & mask,
        "first": row.first & mask,
    }


FREE = {"readers": 0, "writer": 0, "upgrader": 0, "first": 0}


def reader(lock):
    def body(me):
        lock.home.native.sit("reader")
        lock.read()
        me.say("reading")
        me.hear("release")
        lock.release()

    return body


def doing(arena, activity):
    return lambda: [row for row in Roster(arena).rows() if row.activity == activity]


def taker(lock, how):
    """Takes the lock by one call, says what came of it, and gives it back."""

    def body(me):
        lock.home.native.sit(how)
        got = getattr(lock, how)() if how != "pass" else lock.read(pass_writers=True)
        me.say(f"got {got}")
        me.hear("release")
        lock.release()

    return body


# --- together and apart


def test_readers_read_together_and_a_writer_waits_for_all(lock, mode, arena, actors):
    readers = [actors.actor(reader(lock), mode) for _ in range(2)]
    for actor in readers:
        actor.expect("reading")
    assert lock.read(0)
    lock.release()
    assert lock.write(0.01) is False
    assert lock.try_write() is False

    writer = actors.actor(taker(lock, "write"), mode)
    wait_until(doing(arena, "wait write"), "the writer")
    readers[0].tell("release")
    readers[0].end()
    assert writer.says_nothing_for(0.05)
    readers[1].tell("release")
    writer.expect("got True")

    assert lock.holder()[3] == "write"
    assert lock.try_read() is False
    for actor in (readers[1], writer):
        if actor is writer:
            actor.tell("release")
        actor.end()
    assert counts(lock) == FREE


def test_readers_never_see_half_a_write(lock, mode, arena, actors):
    cell = arena.table("cell", Plain, 2)
    rounds = 100

    def writes(me):
        for i in range(rounds):
            with lock:
                cell[1].value = i
                os.sched_yield()
                cell[2].value = i

    def reads(me):
        for _ in range(rounds):
            with lock.reading():
                assert cell[1].value == cell[2].value

    for actor in [actors.actor(writes, mode), *(actors.actor(reads, mode) for _ in range(2))]:
        actor.end()
    assert counts(lock) == FREE


def test_holders_are_all_readers_with_their_lines(lock, mode, actors):
    actor = actors.actor(reader(lock), mode)
    actor.expect("reading")
    line = inspect.getsourcelines(reader)[1] + 3
    lock.read()

    rows = {row[3]: row for row in lock.holders()}

    assert sorted(rows) == ["reader", "test"]
    assert rows["reader"][1] == (actor.pid or os.getpid())
    assert rows["reader"][4][1:] == (line, "reader.<locals>.body")
    assert {row[6] for row in rows.values()} == {"read"}
    lock.release()
    actor.tell("release")
    actor.end()
    assert lock.holders() == []


def test_with_reading_names_the_line_of_the_with(lock):
    with lock.reading() as got:
        line = sys._getframe().f_lineno - 1

        assert got is True
        assert lock.held() == "read"
        assert lock.holder()[4][1:] == (line, "test_with_reading_names_the_line_of_the_with")
    with lock.writing():
        assert lock.held() == "write"
    assert lock.held() is None


def test_with_a_limit_yields_false_and_holds_nothing(lock, mode, actors):
    actor = actors.actor(reader(lock), mode)
    actor.expect("reading")

    with lock.writing(timeout=0.01) as got:
        assert got is False
        assert lock.held() is None
    actor.tell("release")
    actor.end()

    actor = actors.actor(taker(lock, "write"), mode)
    actor.expect("got True")
    with lock.reading(timeout=0.01) as got:
        assert got is False
        assert lock.held() is None
    actor.tell("release")
    actor.end()


def test_reading_again_is_an_error_unless_one_passes_the_writers(lock):
    lock.read()

    with pytest.raises(SelfDeadlock):
        lock.read()
    with pytest.raises(SelfDeadlock):
        lock.write()
    assert lock.read(pass_writers=True)
    assert counts(lock)["readers"] == 1  # a thread is one reader, however often

    lock.release()
    assert lock.held() == "read"
    assert counts(lock)["readers"] == 1
    lock.release()
    assert counts(lock) == FREE


# --- who goes first


def test_a_reader_queues_behind_a_waiting_writer(lock, mode, arena, actors):
    first = actors.actor(reader(lock), mode)
    first.expect("reading")
    writer = actors.actor(taker(lock, "write"), mode)
    wait_until(doing(arena, "wait write"), "the writer")

    late = actors.actor(taker(lock, "read"), mode)
    wait_until(doing(arena, "wait read"), "the late reader")
    assert lock.read(0.01) is False
    assert lock.try_read() is False
    first.tell("release")
    writer.expect("got True")
    assert late.says_nothing_for(0.05)
    writer.tell("release")
    late.expect("got True")
    late.tell("release")

    for actor in (first, writer, late):
        actor.end()
    assert counts(lock) == FREE


def test_a_reader_may_pass_waiting_writers_when_it_says_so(lock, mode, arena, actors):
    lock.read()
    writer = actors.actor(taker(lock, "write"), mode)
    wait_until(doing(arena, "wait write"), "the writer")

    passer = actors.actor(taker(lock, "pass"), mode)
    passer.expect("got True")
    assert writer.says_nothing_for(0.05)
    passer.tell("release")
    lock.release()
    writer.expect("got True")
    writer.tell("release")

    for actor in (passer, writer):
        actor.end()
    assert counts(lock) == FREE


def test_a_writer_that_gives_up_lets_the_readers_behind_it_go(lock, mode, arena, actors):
    lock.read()

    def met(patience):
        """Was the reader seen behind the writer before that gave up?"""
        writer = actors.actor(lambda me: me.say(lock.write(patience)), mode)
        wait_until(lambda: doing(arena, "wait write")() or writer.has_spoken(), "the writer")
        late = actors.actor(taker(lock, "read"), mode)
        wait_until(lambda: doing(arena, "wait read")() or late.has_spoken(), "the late reader")
        behind = not late.has_spoken()
        writer.expect("False")
        late.expect("got True")
        late.tell("release")
        for actor in (writer, late):
            actor.end()
        return behind

    assert any(map(met, (0.3, 3.0, 30.0))), "they never met: this would prove nothing"
    lock.release()
    assert counts(lock) == FREE


# --- upgrade and downgrade


def test_the_only_reader_becomes_writer_at_once(lock, arena):
    lock.read()

    assert lock.upgrade() is True
    assert lock.held() == "write"
    assert [row.kind for row in held.mine(arena)] == ["write"]
    lock.release()
    assert counts(lock) == FREE


def test_an_upgrade_waits_for_the_other_readers_and_keeps_new_ones_out(lock, mode, arena, actors):
    actor = actors.actor(reader(lock), mode)
    actor.expect("reading")

    def upgrades(me):
        lock.read()
        me.say("reading")
        me.say(f"upgraded {lock.upgrade()}")
        me.hear("release")
        lock.release()

    upgrader = actors.actor(upgrades, mode)
    upgrader.expect("reading")
    wait_until(doing(arena, "wait upgrade"), "the upgrade")
    assert lock.try_read() is False
    actor.tell("release")
    upgrader.expect("upgraded True")
    assert lock.try_read() is False
    upgrader.tell("release")

    for it in (actor, upgrader):
        it.end()
    assert counts(lock) == FREE


def test_the_second_upgrader_is_told_no_and_still_reads(lock, mode, arena, actors):
    def upgrades(me):
        lock.read()
        me.say("reading")
        me.hear("upgrade")
        me.say(f"upgraded {lock.upgrade()}")
        lock.release()

    lock.read()
    upgrader = actors.actor(upgrades, mode)
    upgrader.expect("reading")
    upgrader.tell("upgrade")
    wait_until(doing(arena, "wait upgrade"), "the upgrade")

    assert lock.upgrade() is False
    assert lock.held() == "read"
    lock.release()
    upgrader.expect("upgraded True")
    upgrader.end()
    assert counts(lock) == FREE


def test_a_thread_that_does_not_read_can_neither_upgrade_nor_downgrade(lock, arena):
    with pytest.raises(NotOwner):
        lock.upgrade()
    with pytest.raises(NotOwner):
        lock.downgrade()
    lock.read()
    with pytest.raises(NotOwner):
        lock.downgrade()

    assert lock.held() == "read"
    assert {report.kind for report in reported.reports(arena)} == {"contract"}


def test_a_downgraded_writer_lets_readers_in_and_writers_not(lock, mode, arena, actors):
    lock.write()
    late = actors.actor(taker(lock, "read"), mode)
    wait_until(doing(arena, "wait read"), "the reader")

    lock.downgrade()

    assert lock.held() == "read"
    late.expect("got True")
    late.tell("release")
    late.end()
    lock.release()
    assert counts(lock) == FREE


# --- death
