import os

import pytest

from harness.shm.arena import Arena
from stress.oracles.contents import (
    FILE_SPACES,
    ZERO,
    Journal,
    Mismatch,
    ObservationLog,
    Region,
    decode,
    describe,
    file_stamp,
    make_stamp,
)

PAGE = 4096
REPEAT = PAGE // 32
FILE = FILE_SPACES + 3


@pytest.fixture
def arena():
    made = Arena.create(f"contents-{os.getpid()}", size=1 << 18, seats=4)
    yield made
    made.close()


@pytest.fixture
def me(arena):
    return ObservationLog(arena, 1, PAGE, writers=3)


@pytest.fixture
def other(me, arena):
    return ObservationLog(arena, 2, PAGE)


def test_a_stamp_says_what_was_put_in():
    stamp = make_stamp(2, 7, 0x40, 99)

    assert len(stamp) == 32
    assert decode(stamp) == (2, 7, 0x40, 99)


@pytest.mark.parametrize("at", range(32))
def test_a_stamp_with_one_wrong_byte_is_no_stamp(at):
    stamp = bytearray(make_stamp(2, 7, 0x40, 99))
    stamp[at] ^= 1

    assert decode(bytes(stamp)) is None


def test_memory_that_was_never_written_reads_as_zeros(me):
    journal = Journal(7)

    me.check_private(journal, 5, bytes(PAGE))

    with pytest.raises(Mismatch, match="expected zeros, found store 1 of writer 1"):
        me.check_private(journal, 5, me.issue(7, 5) * REPEAT)


def test_a_torn_page_is_found(me):
    journal = Journal(7)
    old, new = me.issue(7, 5), me.issue(7, 5)
    journal.wrote(5, new)

    with pytest.raises(Mismatch, match=r"1/128 store 1 .* \(torn\)"):
        me.check_private(journal, 5, new * (REPEAT - 1) + old)


def test_a_stale_page_is_found(me):
    journal = Journal(7)
    old, new = me.issue(7, 5), me.issue(7, 5)
    journal.wrote(5, old)
    journal.wrote(5, new)

    me.check_private(journal, 5, new * REPEAT)
    with pytest.raises(Mismatch, match=r"expected store 2 .* found store 1"):
        me.check_private(journal, 5, old * REPEAT)


def test_a_page_of_another_space_is_found(me):
    journal = Journal(7)
    journal.wrote(5, me.issue(7, 5))

    with pytest.raises(Mismatch, match="space 8"):
        me.check_private(journal, 5, me.issue(8, 5) * REPEAT)


def test_a_child_keeps_what_it_inherited_whatever_its_parent_writes_later(me):
    parent = Journal(7)
    before = me.issue(7, 5)
    parent.wrote(5, before)
    child = parent.fork(8)
    parent.wrote(5, me.issue(7, 5))

    me.check_private(child, 5, before * REPEAT)
    with pytest.raises(Mismatch):
        me.check_private(child, 5, parent.private[5] * REPEAT)


def test_unmapped_memory_starts_afresh_and_moved_memory_keeps_its_stamps(me):
    journal = Journal(7)
    stamps = {page: me.issue(7, page) for page in (5, 6)}
    for page, stamp in stamps.items():
        journal.wrote(page, stamp)
    journal.regions.append(Region(8, 12, 1 << 31, 0))

    journal.move(6, 7, 20)
    journal.forget(5, 6)
    journal.forget(9, 10)

    assert journal.private == {20: stamps[6]}
    assert journal.regions == [(8, 9, 1 << 31, 0), (10, 12, 1 << 31, 2)]


def test_a_shared_page_shows_any_store_but_none_seen_replaced(me, other):
    initial = file_stamp(3, 2)
    first, second = other.issue(FILE, 2), other.issue(FILE, 2)

    me.check_shared(FILE, 2, initial * REPEAT, initial)
    me.check_shared(FILE, 2, first * REPEAT, initial)
    me.check_shared(FILE, 2, second * REPEAT, initial)

    for old in (initial, first):
        with pytest.raises(Mismatch, match="seen replaced before"):
            me.check_shared(FILE, 2, old * REPEAT, initial)


def test_a_store_that_was_never_issued_is_found_on_a_shared_page(me, other):
    initial = file_stamp(3, 2)
    never = make_stamp(2, FILE, 2, 1)
    elsewhere = other.issue(FILE, 1)

    for stamp in (make_stamp(2, FILE, 2, 2), elsewhere, file_stamp(3, 1), ZERO):
        with pytest.raises(Mismatch, match="never written there"):
            me.check_shared(FILE, 2, stamp * REPEAT, initial)
    me.check_shared(FILE, 2, never * REPEAT, initial)  # it exists by now: number 1 was issued


def test_what_was_there_before_our_own_store_does_not_come_back(me, other):
    initial = file_stamp(3, 2)
    theirs = other.issue(FILE, 2)
    me.check_shared(FILE, 2, theirs * REPEAT, initial)
    ours = me.issue(FILE, 2)
    me.wrote_shared(FILE, 2, ours)

    me.check_shared(FILE, 2, ours * REPEAT, initial)
    for old in (theirs, initial):
        with pytest.raises(Mismatch, match="seen replaced before"):
            me.check_shared(FILE, 2, old * REPEAT, initial)


def test_in_a_crowded_space_only_genuine_stores_of_that_space_are_accepted(me, other):
    journal = Journal(7)
    journal.crowd()
    theirs = other.issue(7, 5)

    me.check_private(journal, 5, theirs * REPEAT)
    with pytest.raises(Mismatch):
        me.check_private(journal, 5, other.issue(8, 5) * REPEAT)
    newer = other.issue(7, 5)
    me.check_private(journal, 5, newer * REPEAT)
    with pytest.raises(Mismatch):
        me.check_private(journal, 5, theirs * REPEAT)


def test_a_child_of_a_crowded_space_pins_what_it_read_first(me, other):
    parent = Journal(7)
    parent.crowd()
    child = parent.fork(9)
    theirs = other.issue(7, 5)

    me.check_private(child, 5, theirs * REPEAT)
    with pytest.raises(Mismatch):
        me.check_private(child, 5, other.issue(7, 5) * REPEAT)


def test_a_mixture_is_read_again_only_if_a_store_overlapped_the_load(me, other):
    old, new = other.issue(FILE, 2), other.issue(FILE, 2)
    mixed, whole = old + new * (REPEAT - 1), new * REPEAT
    row = other.begin_store(FILE, 2)
    loads = iter([mixed, mixed, whole])

    def load():
        data = next(loads)
        if data is whole:
            other.end_store(row)
        return data

    assert me.begin_store(FILE, 2) is None
    assert me.load_shared(FILE, 2, load) == whole
    assert me.load_shared(FILE, 2, lambda: mixed) == mixed
    with pytest.raises(Mismatch, match="torn"):
        me.check_shared(FILE, 2, mixed, file_stamp(3, 2))


def test_reads_are_counted_in_the_arena(me):
    me.check_private(Journal(7), 5, bytes(PAGE))

    assert me.rows[1].reads == 1


def test_junk_is_described_as_junk():
    assert describe(b"\xdb" * PAGE) == "junk dbdbdbdbdbdbdbdb..."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("zeros", "a store is lost"),
        ("older", "an older copy came back"),
        ("page", "the contents of another page"),
        ("space", "a store of another space"),
        ("junk", "no writer ever stored this"),
        ("mixed", "the page is a mixture"),
    ],
)
def test_a_wrong_page_is_called_by_the_kind_of_its_wrongness(me, found, said):
    journal = Journal(7)
    older = me.issue(7, 5)
    journal.wrote(5, newer := me.issue(7, 5))
    data = {
        "zeros": ZERO * REPEAT,
        "older": older * REPEAT,
        "page": me.issue(7, 6) * REPEAT,
        "space": me.issue(8, 5) * REPEAT,
        "junk": b"\1" * PAGE,
        "mixed": older + newer * (REPEAT - 1),
    }[found]

    with pytest.raises(Mismatch, match=said):
        me.check_private(journal, 5, data)


def test_a_wrong_page_names_its_writers_by_their_roles(arena):
    arena.native.sit("author")
    me = ObservationLog(arena, 1, PAGE, writers=3)
    journal = Journal(7)
    journal.wrote(5, me.issue(7, 5))

    with pytest.raises(Mismatch, match="writer 1 is author"):
        me.check_private(journal, 5, ZERO * REPEAT)
