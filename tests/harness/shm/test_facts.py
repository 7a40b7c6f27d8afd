"""What is found wrong travels as data: through a report in the arena, whole or cut short, never made up."""

import pytest

from harness import _native
from harness.errors import DoubleFree, NotOwner, StaleReference
from harness.locks.reports import reports
from harness.shm.facts import MISTAKES, Details, Fact, Subject, details_of, report, said_by

PANIC = _native.CONSTANTS["REPORT_PANIC"]


def told(arena, details):
    arena.native.sit("teller")
    report(arena, PANIC, "words", details)
    return reports(arena)[-1].details


def test_details_come_out_of_a_report_as_they_went_in(arena):
    details = Details(mistake="kept", rules=("A1", "Q2"), about=(Subject("a", 1), Subject("b", 2, 0x3000)))

    assert told(arena, details) == details


def test_of_more_subjects_than_fit_the_first_are_kept(arena):
    every = tuple(Subject("table", slot) for slot in range(100))

    kept = told(arena, Details(about=every)).about

    assert 10 < len(kept) < 100
    assert kept == every[: len(kept)]


@pytest.mark.parametrize("packed", [b"\xff" * 500, b"\x92\x01\x02", b"\xc1"])
def test_what_cannot_be_read_is_nothing(arena, packed):
    arena.native.sit("teller")
    arena.native.report(PANIC, "words", 0, 0, 999, packed)

    assert reports(arena)[-1].details == Details()


def test_facts_name_each_rule_and_record_once_and_a_sentence_names_none():
    one, two = Subject("a", 1), Subject("a", 2)

    details = details_of([Fact("Q1", "x", [one, two]), "Q9: object 7", Fact("", "y", [two]), Fact("Q1", "z")])

    assert details == Details(rules=("Q1",), about=(one, two))


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (StaleReference("a", 3, 1, 2), Details(mistake="stale_link", about=(Subject("a", 3),))),
        (DoubleFree("a", 3), Details(mistake="freed_twice", about=(Subject("a", 3),))),
        (ValueError("a[3] is freed twice"), Details()),
        (NotOwner("this thread has no claim on the word at 8"), Details()),
    ],
)
def test_an_error_says_what_it_is_about_by_its_class_and_not_by_its_words(error, details):
    assert said_by(error) == details


def test_a_claim_that_is_not_there_is_known_by_its_name(arena):
    arena.native.sit("teller")
    with pytest.raises(NotOwner) as caught:
        arena.native.pass_on(arena.mutex("m").offset)

    assert said_by(caught.value).mistake == "no_claim" in MISTAKES.values()
