"""The same dump for a terminal and for a browser."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from harness.watch.render_html import render_html
from harness.watch.render_text import render
from tests.harness.watch.specimen import COMMAND, specimen


@pytest.fixture
def full():
    return specimen()


def test_the_text_begins_with_the_fact_and_ends_with_the_command(full):
    lines = render(full).splitlines()

    assert lines[0] == "deadlock   fork-storm   seed 7"
    assert lines[1] == full.summary
    assert lines[3:5] == [f"  {line}" for line in full.cycle]
    assert lines[-1] == f"try: {COMMAND}"


def test_the_text_holds_every_kind_of_fact(full):
    text = render(full)

    for word in (
        "pid 101, tid 201, state S", "state S, DEAD", "in step 4 for 2.000 s", "a[0] (mutex, 1.250 s, a.py:1",
        "waits for b[0] for 0.500 s, b.py:2 g", "owes cells[1].busy", "deep.py:3 inner", "took a[0]",
        "object[7]: <busy>", "a -> b", "sleeping, 1.5 s CPU", "note: a note", "bystander",
    ):  # fmt: skip
        assert word in text


def test_the_short_text_leaves_out_who_is_not_involved(full):
    short = render(full, everything=False)

    assert "bystander" not in short
    assert "lock order seen" not in short
    assert "note: a note" in short
    assert short.splitlines()[-1] == f"try: {COMMAND}"


def test_the_page_is_well_formed_offline_and_draws_every_edge(full):
    page = render_html(full)

    tree = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert "r&<1>" in "".join(tree.itertext())
    classes = [element.get("class") for element in tree.iter()]
    assert (classes.count("edge"), classes.count("node"), classes.count("node dead")) == (2, 1, 1)
    for outside in ("http:", "https:", "src=", "href=", "@import", "<script"):
        assert outside not in page


def test_a_page_of_a_dump_without_threads_is_well_formed(full):
    page = render_html(msgspec.structs.replace(full, threads=[], involved=[], cycle=[]))

    tree = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert tree.find(".//svg") is None
