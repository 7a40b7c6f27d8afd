"""``show`` from the file alone, and what it says of files that it cannot use."""

import json

import pytest

from harness.watch import dump as dumps
from harness.watch.records import Dump, HeldFact, SeatFacts, WaitFact


def seat(number: int, role: str, holds: str, wants: str) -> SeatFacts:
    held = HeldFact(
        lock=holds, lock_class=holds, offset=8, mode="mutex", site=f"{role}.py:1 f", held_for_s=1.5
    )
    wait = WaitFact(kind="mutex", lock=wants, offset=16, site=f"{role}.py:2 f", waited_s=1.0, timed=False)
    return SeatFacts(
        number=number, role=role, pid=100 + number, tid=100 + number, dead=False, state="S", activity="mutex",
        operation="step", argument=0, operation_for_s=1.5, steps=3, progress=5, failures=0, wait_seq=1,
        torn=False, held=[held], wait=wait,
    )  # fmt: skip


@pytest.fixture
def dumped(tmp_path):
    dump = Dump(
        verdict="deadlock",
        summary="deadlock: a holds A[1] and waits for B[1]; b holds B[1] and waits for A[1]",
        cycle=["a holds A[1]; waits for B[1]", "b holds B[1]; waits for A[1]"],
        threads=[seat(1, "a", "A[1]", "B[1]"), seat(2, "b", "B[1]", "A[1]")],
        involved=[1, 2],
        scenario="fork-storm",
        seed=7,
        reproduce="hangdog run --scenario fork-storm --seed 7",
    )
    return dumps.write(tmp_path / "d.json", dump)


def test_text_begins_with_the_fact_and_ends_with_the_command(hangdog, dumped):
    said = hangdog("show", dumped.name)

    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0] == "deadlock   fork-storm   seed 7"
    assert "a holds A[1] and waits for B[1]" in lines[1]
    assert lines[-1] == "try: hangdog run --scenario fork-storm --seed 7"
    assert all(word in said.out for word in ("pid 101", "pid 102", "a.py:1", "b.py:2", "1.500 s"))


def test_json_is_one_object_and_the_page_is_written_beside_it(hangdog, dumped, tmp_path):
    said = hangdog("show", dumped.name, "--json", "--html", "page.html")

    assert said.code == 0
    assert json.loads(said.out)["verdict"] == "deadlock"
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_two_lines(hangdog, dumped):
    said = hangdog("show", dumped.name, "--html", "no/such/folder.html")

    assert said.code == 2
    assert "cannot write 'no/such/folder.html'" in said.two_lines()[0]


@pytest.mark.parametrize(
    "damage", ["missing", "folder", "empty", "truncated", "noise", "schema", "field", "list"]
)
def test_a_damaged_dump_is_two_lines_and_exit_2(hangdog, dumped, damage, tmp_path):
    data = dumped.read_bytes()
    spoiled = {
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "noise": b"\x80\x04\x95" + data[:100],
        "schema": data.replace(b"hangdog.dump/1", b"hangdog.dump/9"),
        "field": data.replace(b'"involved"', b'"involvde"'),
        "list": b"[1, 2]",
    }
    path = tmp_path / "bad.json"
    if damage in spoiled:
        path.write_bytes(spoiled[damage])
    elif damage == "folder":
        path.mkdir()

    said = hangdog("show", "bad.json")

    assert said.code == 2
    assert said.out == ""
    assert "bad.json" in said.two_lines()[0]
