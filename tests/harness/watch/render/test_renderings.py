"""The same dump for a terminal and for a browser."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from harness.watch import dump
from harness.watch.render.html import render_html
from harness.watch.render.text import render
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
        "waits for b[0] for 0.500 s, b.py:2 g", "is to change cells[1].busy", "deep.py:3 inner", "took a[0]",
        "object[7]: <busy>", "a -> b", "sleeping, 1.5 s CPU", "note: a note", "bystander",
    ):  # fmt: skip
        assert word in text


def test_the_short_text_leaves_out_threads_that_are_not_involved(full):
    short = render(full, everything=False)

    assert "bystander" not in short
    assert "lock order seen" not in short
    assert "note: a note" in short
    assert short.splitlines()[-1] == f"try: {COMMAND}"


def test_a_sentence_of_the_head_is_not_said_again(full):
    twice = msgspec.structs.replace(full, summary=f"{full.cycle[0]}; the end")

    assert full.cycle[0] not in render(twice).splitlines()[2:]
    assert f"  {full.cycle[1]}" in render(twice).splitlines()


@pytest.mark.parametrize(
    ("verdict", "told"), [("deadlock", True), ("order_violation", True), ("leak", False)]
)
def test_the_order_of_locks_is_told_where_locks_are_in_question(full, verdict, told):
    assert ("lock order seen" in render(msgspec.structs.replace(full, verdict=verdict))) == told


def test_a_witness_is_shown_with_its_last_events_whatever_is_said(full):
    culprit = msgspec.structs.replace(full.threads[2], events=full.threads[0].events)
    dump = msgspec.structs.replace(full, threads=[culprit], involved=[], witnesses=[culprit.number])

    short = render(msgspec.structs.replace(dump, summary=""), everything=False)

    assert "took a[0]" in short
    assert "stack, innermost first" not in short
    named = msgspec.structs.replace(dump, witnesses=[], summary=f"changed by {culprit.name}")
    assert "took a[0]" not in render(named, everything=False)


@pytest.mark.parametrize(
    ("stack", "shown"),
    [
        (["vm/a.py:3 f", "harness/run/worker.py:9 serve", "<string>:1 <module>"], ["vm/a.py:3 f"]),
        (["harness/run/worker.py:5 act", "vm/a.py:3 f"], ["harness/run/worker.py:5 act", "vm/a.py:3 f"]),
        (["harness/run/exception_report.py:36 describe", "x/multiprocess/process.py:1 run"],
         ["harness/run/exception_report.py:36 describe"]),
        (["a.py:3 role", "/v/harness/run/worker.py:9 _work", "/v/click/core.py:1 main", "a.py:9 <module>"],
         ["a.py:3 role"]),
        (["/v/site-packages/harness/run/worker.py:9 _work", "a.py:9 <module>"],
         ["/v/site-packages/harness/run/worker.py:9 _work", "a.py:9 <module>"]),
    ],
)  # fmt: skip
def test_how_the_harness_called_the_program_is_left_out(full, stack, shown):
    dump = msgspec.structs.replace(full, threads=[msgspec.structs.replace(full.threads[0], stack=stack)])

    lines = render(dump).splitlines()

    start = lines.index("    stack, innermost first:") + 1
    assert lines[start : lines.index("    last events:")] == [f"      {frame}" for frame in shown]


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


def older(value):
    """Data as a file of an older version has it: without the keys that came later."""
    late = {"details", "places", "witnesses", "offset", "lock_class", "seat", "when", "blocking", "bad"}
    if isinstance(value, list):
        return [older(one) for one in value]
    if not isinstance(value, dict):
        return value
    needed = {"offset", "lock_class"} if "mode" in value else {"offset"} if "wmesg" in value else set()
    return {key: older(one) for key, one in value.items() if key not in late - needed}


def test_a_dump_of_an_older_version_is_rendered_as_before(full, tmp_path):
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(older(msgspec.json.decode(msgspec.json.encode(full)))))

    assert render(dump.read(path)) == render(full)
