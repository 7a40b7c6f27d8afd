"""Checked records: the guard of each field, private records, lives, and where a violation is told."""

import threading
from ctypes import Structure, c_uint32, c_uint64, sizeof
from pathlib import Path

import pytest

from harness.errors import DoubleFree, StaleReference, TableFull, UnguardedAccess
from harness.locks import LockClass
from harness.locks.held import held_names
from harness.shm import Pool
from harness.shm.checked import CheckedPool, CheckedTable, Rules, unguarded
from harness.shm.layout import MutexRecord, guarded, split_guard
from harness.shm.native import Report
from harness.watch.watchdog import Watchdog
from tests.harness.watch.looking import find


class Row(Structure):
    """Every kind of rule."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32, "pool"),
        (".", "next_free", c_uint32, "pool"),
        ("=", "lock_", MutexRecord, ""),
        ("O", "own", c_uint64, ""),
        ("OP", "both", c_uint32, "both to write, either to read"),
        ("O/P", "other", c_uint32, "O to write, P to read"),
        ("O/?", "hint", c_uint32, "any thread may read"),
        ("=", "constant", c_uint32, "written while private"),
        (".", "free", c_uint32, "not checked"),
    )


class Cell(Structure):
    """For tables."""

    _fields_, GUARDS, NOTES = guarded(("P", "value", c_uint64, ""), ("P/?", "hint", c_uint32, ""))


def rules_of(arena, **more) -> Rules:
    """O: the record's own lock.  P: one lock for all."""
    common = arena.mutex("common")

    def own(view):
        return view.lock.held()

    def of_all(_view):
        return common.held()

    return Rules(
        {"O": (own, own), "P": (of_all, of_all)},
        lambda: ", ".join(held_names(arena)),
        **more,
    )


@pytest.fixture
def common(arena):
    return arena.mutex("common")


@pytest.fixture
def pool(arena):
    ids = {"lock_": LockClass("lock_", nest=True).declare(arena)}
    return CheckedPool(Pool(arena, "rows", Row, 4, arena.mutex("pool"), "--rows", ids), rules_of(arena))


@pytest.fixture
def row(pool):
    """A record that others may have found: its lock was taken."""
    made = pool.allocate()
    with made.lock:
        pass
    return made


def in_thread(action):
    found: list[object] = []

    def body():
        try:
            found.append(action())
        except UnguardedAccess as error:
            found.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(10)
    return found[0]


@pytest.mark.parametrize(
    ("guard", "writes", "reads"),
    [("O", "O", "O"), ("OP", "OP", "OP"), ("O/OPH", "O", "OPH"), ("K/?", "K", "?"), (".", ".", ".")],
)
def test_a_guard_says_who_writes_and_who_reads(guard, writes, reads):
    assert split_guard(guard) == (writes, reads)


def test_a_checked_record_lies_where_the_plain_one_does(pool, row):
    plain = pool.inner.views[row.slot]
    with row.lock:
        row.own = 7

    assert plain.own == 7
    assert sizeof(type(row)) == sizeof(Row)
    assert type(row).own.offset == Row.own.offset
    assert row.address == plain.address


@pytest.mark.parametrize("field", ["own", "both", "other", "hint"])
def test_nothing_is_written_without_the_guard(pool, row, field):
    with pytest.raises(UnguardedAccess) as caught:
        setattr(row, field, 1)

    assert (caught.value.table, caught.value.field, caught.value.write) == ("rows", field, True)


@pytest.mark.parametrize("field", ["own", "both", "other"])
def test_nothing_is_read_without_the_guard(row, field):
    with pytest.raises(UnguardedAccess, match=f"{field} is read without its guard"):
        getattr(row, field)


def test_both_to_write_either_to_read(row, common):
    with row.lock:
        assert row.both == 0
        with pytest.raises(UnguardedAccess, match="'OP'"):
            row.both = 1
        with common:
            row.both = 2
    with common:
        assert row.both == 2


def test_the_letters_behind_the_slash_are_for_reading(row, common):
    with row.lock:
        row.other = 5
        with pytest.raises(UnguardedAccess, match="read without its guard 'P'"):
            assert row.other
    with common:
        assert row.other == 5
        with pytest.raises(UnguardedAccess, match="written without its guard 'O'"):
            row.other = 6
    assert row.hint == 0, "a hint is for every process"
    row.free = 3
    assert row.free == 3


def test_an_error_names_what_is_held_and_the_line(row, common):
    with common, pytest.raises(UnguardedAccess) as caught:
        row.own += 1

    assert caught.value.held == "common[0]"
    assert caught.value.slot == row.slot
    file, rest = caught.value.where.split(":")
    line, function = rest.split(" ")
    assert file == "shm/test_checked.py"
    assert "row.own += 1" in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert function == "test_an_error_names_what_is_held_and_the_line"


def test_a_watcher_makes_a_finding_of_it(arena, row, common, tmp_path):
    with common, pytest.raises(UnguardedAccess) as caught:
        row.own = 1

    finding = find(Watchdog(arena, tmp_path), "unguarded_access")

    assert str(caught.value) in finding.summary
    assert "held: common[0]. Cause: " in finding.summary
    assert "shm/test_checked.py:" in finding.summary, "the line is not named"


# --- private


def test_a_new_record_is_its_maker_s(pool):
    made = pool.allocate()

    made.own, made.constant = 1, 2

    assert (made.own, made.constant) == (1, 2)
    assert isinstance(in_thread(lambda: made.own), UnguardedAccess), "another thread did not make it"


def test_it_is_private_no_more_when_its_lock_was_taken(pool):
    made = pool.allocate()
    made.constant = 2
    with made.lock:
        made.own = 1

    with pytest.raises(UnguardedAccess):
        made.own = 2
    with pytest.raises(UnguardedAccess):
        made.constant = 3
    assert made.constant == 2


def test_the_maker_of_an_earlier_life_is_not_the_maker_of_this_one(pool):
    made = pool.allocate()
    pool.free(made)
    again = []
    thread = threading.Thread(target=lambda: again.append(pool.allocate()))
    thread.start()
    thread.join(10)

    assert again[0].slot == made.slot
    with pytest.raises(UnguardedAccess):
        again[0].own = 1


# --- lives


def test_a_view_of_a_freed_record_is_stale_at_every_access(arena, pool, row):
    pool.free(row)
    with pytest.raises(StaleReference) as caught:
        assert row.hint

    assert (caught.value.table, caught.value.slot) == ("rows", row.slot)
    with pytest.raises(StaleReference):
        row.free = 1
    again = pool.allocate()
    assert again.slot == row.slot
    assert again is not row
    with pytest.raises(StaleReference):
        row.own = 1
    assert any(f"stale link to rows[{row.slot}]" in line and "field own" in line for line in reports(arena))


def reports(arena):
    header = arena.header
    rows = range(header.report_count)
    texts = [Report.from_buffer(arena.mapping, header.reports + i * sizeof(Report)).text for i in rows]
    return [text.decode() for text in texts]


def test_one_life_is_one_object(pool, row):
    reference = pool.ref(row)

    assert pool(reference) is row
    assert pool.views[row.slot] is row
    assert list(pool.live()) == [row]
    pool.free(row)
    with pytest.raises(StaleReference):
        pool(reference)


def test_a_life_that_changes_behind_our_back_is_seen(pool, row):
    """As another process would do it: its views are not ours."""
    plain = pool.inner.views[row.slot]
    pool.inner.free(plain)
    pool.inner.allocate()

    with pytest.raises(StaleReference):
        assert row.own
    assert pool.views[row.slot] is not row
    assert pool.ref(pool.views[row.slot]) == pool.inner.ref(plain)


def test_a_link_that_dies_while_it_is_followed_leads_nowhere(pool, row):
    """As when another process frees the record between the two questions."""
    reference, inner, plain = pool.ref(row), pool.inner, pool.inner.views[row.slot]

    class Slow:
        """The pool, and a thread that is quicker."""

        name = inner.name

        def __call__(self, reference):
            inner(reference)
            inner.free(plain)
            inner.allocate()

    pool.inner = Slow()
    with pytest.raises(StaleReference):
        pool(reference)


def test_two_threads_that_meet_a_new_life_get_one_view_of_it(pool, row, monkeypatch):
    pool.inner.free(pool.inner.views[row.slot])
    pool.inner.allocate()
    make, first, both = pool.views.make, threading.Event(), threading.Event()

    def slow(slot):
        (both if first.is_set() else first).set()
        both.wait(0.2)  # the second thread comes here too, unless it is kept out
        return make(slot)

    monkeypatch.setattr(pool.views, "make", slow)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(pool.views[row.slot])) for _ in range(2)]
    for thread in threads:
        thread.start()
        first.wait(10)
    for thread in threads:
        thread.join(10)

    assert found[0] is found[1]
    assert found[0] is not row


def test_a_second_free_is_never_the_next_life_s_end(pool, row):
    pool.free(row)
    again = pool.allocate()

    with pytest.raises((StaleReference, DoubleFree)), unguarded():
        pool.free(row)
    assert pool.is_live(again.slot)


def test_a_full_pool_says_so_and_what_is_checked_stays_checked(pool):
    rows = [pool.allocate_or_raise() for _ in range(4)]

    assert pool.allocate() is None
    with pytest.raises(TableFull) as caught:
        pool.allocate_or_raise()
    assert caught.value.option == "--rows"
    assert isinstance(in_thread(lambda: rows[0].own), UnguardedAccess)


# --- looking on


def test_a_thread_that_says_so_reads_without_locks(row):
    with unguarded(), unguarded():
        assert row.own == 0
    with pytest.raises(UnguardedAccess):
        assert row.own

    with unguarded():
        assert isinstance(in_thread(lambda: row.own), UnguardedAccess), "only the thread that said it"


def test_a_table_has_no_lives_and_no_private_records(arena, common):
    table = CheckedTable(arena.table("cells", Cell, 2), rules_of(arena))

    with pytest.raises(UnguardedAccess, match=r"cells\[1\]\.value"):
        table[1].value = 1
    with common:
        table[1].value = 1
    assert table.views[1] is table[1]
    assert table[2].hint == 0


def test_the_system_says_which_records_no_other_thread_can_reach(arena):
    rules = rules_of(arena, private=lambda view: view.slot == 2)
    table = CheckedTable(arena.table("cells", Cell, 2), rules)

    table[2].value = 4
    with pytest.raises(UnguardedAccess):
        table[1].value = 4


def test_writes_are_told_and_views_prepared(arena, common):
    written: list[object] = []
    prepared: list[int] = []
    rules = rules_of(arena, prepare=lambda view: prepared.append(view.slot), wrote={"value": written.append})
    table = CheckedTable(arena.table("cells", Cell, 2), rules)

    with common:
        table[2].value = 9

    assert written == [table[2]]
    assert prepared == [0, 1, 2]


def test_a_letter_without_a_meaning_is_an_error_at_once(arena):
    with pytest.raises(KeyError, match="P"):
        CheckedTable(arena.table("cells", Cell, 1), Rules({}, str))
