"""A row is compared with the newest one of its kind, and with no other."""

import json

from bench import history
from bench.common import Row, table

ROW = {
    "bench": "bench_x",
    "name": "a",
    "value": 100.0,
    "unit": "ns",
    "scale": 1.0,
    "machine": "m",
    "load": 0.5,
}


def test_what_is_kept_is_found_again_with_its_commit(tmp_path):
    path = tmp_path / "history.jsonl"

    history.keep([{**ROW, "value": 90.0}], path)
    history.keep([ROW], path)

    assert (found := history.earlier(ROW, path)) is not None
    assert found["value"] == 100.0
    assert found["commit"].rstrip("+") == history.commit().rstrip("+")
    assert len(path.read_text().splitlines()) == 2


def test_a_row_of_another_machine_scale_or_name_is_none(tmp_path):
    path = tmp_path / "history.jsonl"
    history.keep([ROW], path)

    for key, other in (("machine", "n"), ("scale", 0.1), ("name", "b"), ("unit", "s"), ("bench", "bench_y")):
        assert history.earlier({**ROW, key: other}, path) is None


def test_a_line_that_is_no_row_is_passed_over(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("<<<<<<< ours\n[]\n" + json.dumps({**ROW, "commit": "c"}) + "\n{}\n")

    assert [row["commit"] for row in history.kept(path)] == ["c"]


def test_the_change_is_told_beside_the_row():
    before = {**ROW, "commit": "2d8465c1"}

    assert history.change(103.1, before) == "+3.1 % since 2d8465c1 (load 0.5)"
    assert history.change(50.0, before) == "-50.0 % since 2d8465c1 (load 0.5)"
    assert history.change(50.0, None) == ""
    said = table([Row("a", 103.1, "ns", "<= 200"), Row("b", 1.0, "ns")], [history.change(103.1, before), ""])
    assert said.splitlines()[0].endswith("target <= 200: met; +3.1 % since 2d8465c1 (load 0.5)")
    assert "since" not in said.splitlines()[1]


def test_no_row_is_compared_with_one_of_value_zero():
    assert history.change(1.0, {**ROW, "value": 0}) == ""
