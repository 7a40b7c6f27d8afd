"""The order of lock classes: violations are reported before anything hangs."""

import sys
from ctypes import Structure, c_uint64

import pytest

from harness import _native
from harness.errors import BadInput, ContractViolation, OwnerDied, SelfDeadlock
from harness.locks import LockClass, order
from harness.shm.layout import MutexRecord, guarded
from harness.watch.snapshot import Reader
from tests.harness.actors import wait_until
from tests.harness.locks import held, reported

STRICT = _native.CONSTANTS["STRICT"]


class Link(Structure):
    _fields_, GUARDS, NOTES = guarded(
        ("O", "next", c_uint64, "generation << 32 | slot"), ("=", "lock_", MutexRecord, "")
    )


def line() -> int:
    return sys._getframe(1).f_lineno


def elsewhere(actors, *locks):
    """Another thread takes them, in this order, and gives them back."""

    def body(me):
        for lock in locks:
            lock.acquire()
        for lock in reversed(locks):
            lock.release()

    actors.actor(body, "thread").end()


def pairs(arena):
    return [(edge.before, edge.after) for edge in order.edges(arena)]


def test_an_inversion_is_reported_before_anything_hangs_with_both_lines(arena, actors):
    a, b = arena.mutex("a"), arena.mutex("b")
    elsewhere(actors, a, b)
    assert reported.violations(arena) == []

    b.acquire()
    at_b = line() - 1
    a.acquire()
    at_a = line() - 1

    (report,) = reported.violations(arena)
    assert (report.held, report.wanted) == ("b", "a")
    assert (report.held_site[1], report.wanted_site[1]) == (at_b, at_a)
    assert __file__.endswith(report.wanted_site[0][-100:])
    assert report.text == "holds b[0] and takes a[0]: elsewhere they are taken the other way round"
    assert (report.seat, report.held_lock, report.wanted_lock) == (arena.native.seat(), b.offset, a.offset)
    assert a.held()
    assert not report.acked


def test_an_inversion_between_processes_is_seen_although_they_never_meet(arena, actors):
    a, b = arena.mutex("a"), arena.rwlock("b")

    def other(me):
        with a, b.reading():
            pass

    actors.actor(other).end()
    with b:
        a.acquire()

    assert [(report.held, report.wanted) for report in reported.violations(arena)] == [("b", "a")]


def test_a_ring_of_three_is_seen_at_its_third_edge(arena, actors):
    a, b, c = (arena.mutex(name) for name in "abc")
    elsewhere(actors, a, b)
    elsewhere(actors, b, c)
    assert reported.violations(arena) == []

    with c, a:
        pass

    assert [(report.held, report.wanted) for report in reported.violations(arena)] == [("c", "a")]


def test_the_same_violation_is_reported_once(arena, actors):
    a, b = arena.mutex("a"), arena.mutex("b")
    for _ in range(3):
        elsewhere(actors, a, b)
        with b, a:
            pass

    assert len(reported.violations(arena)) == 1


def test_reports_are_the_last_128_and_violations_those_about_order(arena, actors):
    a, b, own = arena.mutex("a"), arena.mutex("b"), arena.mutex("own")
    elsewhere(actors, a, b)
    with own:
        for _ in range(130):
            with pytest.raises(SelfDeadlock):
                own.acquire()
    with b, a:
        pass

    reports = reported.reports(arena)

    assert [report.kind for report in reports] == ["self_deadlock"] * 127 + ["order"]
    assert [report.when for report in reports] == sorted(report.when for report in reports)
    assert reported.violations(arena) == reports[-1:]


def test_edges_keep_the_lines_of_the_first_time(arena):
    a, b = arena.mutex("a"), arena.mutex("b")
    with a:
        first = line() - 1
        b.acquire()
        second = line() - 1
        b.release()
    with a, b:
        pass

    (edge,) = order.edges(arena)

    assert (edge.before, edge.after) == ("a", "b")
    here = "tests/harness/locks/test_order.py"
    sites = [site.partition(" ")[0] for site in (edge.before_site, edge.after_site)]
    assert sites == [f"{here}:{first}", f"{here}:{second}"]
    assert edge.seat == arena.native.seat()


def test_a_try_adds_no_edge_for_itself_but_counts_as_held(arena):
    a, b, c = (arena.mutex(name) for name in "abc")
    with b:
        assert a.try_acquire()
        assert pairs(arena) == []
        with c:
            pass
        a.release()

    assert pairs(arena) == [("a", "c"), ("b", "c")]
    with a, b:
        pass
    assert reported.violations(arena) == []


def test_two_of_one_class_with_a_rank_are_reported_unless_they_may_nest(arena):
    one, two = arena.mutex("ranked", rank=7), arena.mutex("ranked", 1)
    with one, two:
        pass
    leaf, other = arena.mutex("leaf", rank=8, nest=True), arena.mutex("leaf", 1)
    with leaf, other:
        pass

    (report,) = reported.violations(arena)
    assert report.text == "holds ranked[0] and takes ranked[1]: two of one class that may not nest"
    assert pairs(arena) == [("ranked", "ranked"), ("leaf", "leaf")]


def test_one_thread_that_takes_both_orders_is_a_note_with_both_lines(arena, actors):
    a, b = arena.mutex("a"), arena.mutex("b")
    with a, b:
        pass
    with b:
        at_b = line() - 1
        a.acquire()
        at_a = line() - 1
        a.release()

    (note,) = reported.notes(arena)
    assert (
        note.text
        == "holds b[0] and takes a[0]: taken the other way round, too, but not by another thread so far"
    )
    assert (note.held_site[1], note.wanted_site[1]) == (at_b, at_a)
    assert reported.violations(arena) == []

    elsewhere(actors, a, b)

    assert [(report.held, report.wanted) for report in reported.violations(arena)] == [("a", "b")]
    assert [(edge.before, edge.bad) for edge in order.edges(arena)] == [("b", False), ("a", True)]


def test_an_edge_of_waits_with_a_limit_is_shown_as_one_that_does_not_block(arena):
    a, b = arena.mutex("a"), arena.mutex("b")
    with a:
        assert b.acquire(timeout=60)
        b.release()
    assert [(edge.before, edge.blocking) for edge in order.edges(arena)] == [("a", False)]

    with a, b:
        pass

    assert [(edge.before, edge.blocking) for edge in order.edges(arena)] == [("a", True)]


def test_a_strict_arena_refuses_the_pair_every_time(arena, actors):
    a, b = arena.mutex("a"), arena.mutex("b")
    elsewhere(actors, a, b)
    arena.native.mode |= STRICT

    for _ in range(3):
        with b, pytest.raises(ContractViolation, match="against the lock order"):
            a.acquire()
    with a, b:
        pass

    assert len(reported.violations(arena)) == 1


def test_a_queued_writer_that_closes_a_cycle_of_readers_is_reported(arena, actors):
    a, b = arena.rwlock("a"), arena.rwlock("b")

    def reads(*locks):
        def body(me):
            for lock in locks:
                lock.read()
            for lock in locks:
                lock.release()

        actors.actor(body, "thread").end()

    reads(a, b)
    reads(b, a)
    elsewhere(actors, a)
    assert reported.reports(arena) == []
    elsewhere(actors, b)

    (report,) = reported.violations(arena)
    assert report.text == (
        "writes what others read in both orders (a[0], then b[0]): "
        "a writer that queues between them stops both"
    )
    assert (report.held_lock, report.wanted_lock) == (a.offset, b.offset)


def test_pairs_beyond_the_table_are_missed_and_never_invented(arena):
    locks = [arena.mutex("n", number) for number in range(70)]
    for _ in range(2):
        for first in range(70):
            with locks[first]:
                for second in range(first + 1, 70):
                    with locks[second]:
                        pass

    assert reported.reports(arena) == []


def test_killed_with_the_report_out_the_next_thread_tells_it_again(arena, actors):
    a, b = arena.mutex("a"), arena.mutex("b")
    elsewhere(actors, a, b)

    def other_way(me):
        with b, a:
            pass

    def reporting():
        arena.header.watcher_beat = arena.native.now()  # a watcher that looks, and acknowledges nothing
        return any(
            row.activity == _native.CONSTANTS["REPORTING"] and row.live == 2 for row in Reader(arena).seats
        )

    arena.header.watcher_beat = arena.native.now()
    arena.native.mode |= _native.CONSTANTS["WAIT_FOR_WATCHER"]
    actor = actors.actor(other_way)
    wait_until(reporting, "a thread that waits with its report out")
    actor.kill()
    arena.native.mode &= ~_native.CONSTANTS["WAIT_FOR_WATCHER"]
    assert len(reported.violations(arena)) == 1
    with pytest.raises(OwnerDied):
        b.acquire()
    b.recover()
    b.release()

    for _ in range(2):
        actors.actor(other_way, "thread").end()

    assert [(report.held, report.wanted) for report in reported.violations(arena)] == [("b", "a")] * 2


@pytest.fixture
def chain(arena):
    """Four records, 1 -> 2 -> 3, and 4 alone."""
    chained = LockClass("chained", chain=("Link", "next"))
    table = arena.table("links", Link, 4, classes={"lock_": chained.declare(arena)})
    arena.native.set_chain(
        chained.declare(arena),
        Link.next.offset - Link.lock_.offset,
        table.offset,
        table.stride,
        Link.lock_.offset,
    )
    for slot in (1, 2):
        table[slot].next = 7 << 32 | slot + 1
    return table


def test_locks_of_a_chain_may_be_taken_along_it(arena, chain):
    with chain[1].lock, chain[2].lock, chain[3].lock:
        pass
    with chain[1].lock, chain[3].lock:
        pass

    assert reported.violations(arena) == []


@pytest.mark.parametrize(("first", "second"), [(2, 1), (3, 2), (1, 4), (4, 1)])
def test_locks_of_a_chain_may_not_be_taken_against_or_beside_it(arena, chain, first, second):
    with chain[first].lock, chain[second].lock:
        pass

    (report,) = reported.violations(arena)
    assert report.text == f"holds chained[{first}] and takes chained[{second}]: not in chain order"


def test_against_rank_is_reported_at_the_first_time(arena):
    low, high = arena.mutex("low", rank=10), arena.mutex("high", rank=20)
    equal = arena.mutex("equal", rank=20)
    with low, high:
        pass
    assert reported.violations(arena) == []

    with high, low:
        pass
    with high, equal:
        pass

    assert [report.text for report in reported.violations(arena)] == [
        "holds high[0] and takes low[0]: against rank",
        "holds high[0] and takes equal[0]: against rank",
    ]


def test_a_strict_arena_refuses_the_lock(arena):
    low, high = arena.mutex("low", rank=10), arena.rwlock("high", rank=20)
    arena.native.mode |= STRICT

    with high, pytest.raises(ContractViolation, match="against the lock order"):
        low.acquire()

    assert held.mine(arena) == []
    assert not low.locked()
    assert len(reported.violations(arena)) == 1


# --- classes


def test_a_class_has_one_number_in_every_process(arena, actors):
    mine = LockClass("map", 10, may_sleep=True)

    def other(me):
        arena.class_ids.clear()
        me.say(mine.declare(arena))

    actor = actors.actor(other)
    number = int(actor.listen())
    actor.end()

    assert mine.declare(arena) == number
    row = order.classes(arena)[number - 1]
    assert (row.id, row.name, row.rank, row.flags) == (number, "map", 10, _native.CONSTANTS["MAY_SLEEP"])
    assert [LockClass(name, nest=True).flags for name in "ab"] == [_native.CONSTANTS["NEST"]] * 2
    assert LockClass("c", chain=("A", "b")).flags == _native.CONSTANTS["CHAIN"]


def test_a_class_cannot_be_declared_with_two_ranks(arena):
    LockClass("map", 10).declare(arena)

    with pytest.raises(BadInput, match="'map' has rank 10 and flags 0 in arena 'test', not rank 20"):
        LockClass("map", 20).declare(arena)
    with pytest.raises(BadInput, match="not rank 10 and flags 1"):
        LockClass("map", 10, may_sleep=True).declare(arena)
    assert arena.mutex("map").class_id == LockClass("map", 10).declare(arena)


@pytest.mark.parametrize("name", ["", "x" * 40])
def test_a_class_name_that_would_be_cut_is_refused(arena, name):
    with pytest.raises(BadInput, match=r"must have 1 to 39$"):
        LockClass(name).declare(arena)


def test_one_class_too_many_is_an_error_that_names_it(arena):
    with pytest.raises(Exception, match="lock class 'class 62' is one too many: 63 is the limit"):
        for i in range(64):
            LockClass(f"class {i}").declare(arena)

    assert len(order.classes(arena)) == 63
