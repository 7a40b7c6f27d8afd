"""How many files a value is passed through: the count itself on a small tree, and what it may be here."""

import subprocess
import sys

import pytest

from ci.passed_through import ROOT, Tree, called_with, files, followed
from tests.waiting import LIMIT_S

FILES = {
    "harness/__init__.py": "from harness.a import start as start\n",
    "harness/a.py": """
from functools import partial
from harness import b
from harness.c import Keeper
def start(value, other):
    b.by_position(0, value)
    hand = partial(b.by_partial, value)
    Keeper(1, kept=value)
    b.never(other)
    b.part(value.size)
    raise ValueError(b.text(value))
""",
    "harness/b.py": """
from harness.d import end
def by_position(number, renamed):
    end(renamed)
def by_partial(value): ...
def never(value): ...
def part(size): ...
def text(value): ...
""",
    "harness/c.py": """
class Keeper:
    def __init__(self, number, kept):
        self.use(kept)
    def use(self, kept): ...
""",
    "harness/d.py": "def end(value): ...\n",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Tree(tmp_path)


def test_a_value_is_followed_by_position_keyword_partial_and_constructor(tree):
    found = files(followed(tree, ("harness.a", "start"), "value"))

    assert found == {
        "harness.a": ["start"],
        "harness.b": ["by_partial", "by_position"],
        "harness.c": ["Keeper.__init__", "Keeper.use"],
        "harness.d": ["end"],
    }


def test_parts_are_followed_when_asked_for_but_not_the_text_of_an_error(tree):
    found = files(followed(tree, ("harness.a", "start"), "value", parts=True))

    assert found["harness.b"] == ["by_partial", "by_position", "part"]


def test_at_run_time_only_calls_with_this_value_in_the_function_count():
    value: list[int] = []

    def inner(given: object) -> None: ...

    def outside(given: object) -> None: ...

    def function(given: list[int]) -> None:
        inner(given)
        inner([])
        len(given)

    def body() -> None:
        outside(value)
        function(value)
        outside(value)

    seen = {name.rpartition(".")[2] for _, name in called_with(value, function, body)}

    assert seen == {"function", "inner"}
    assert called_with([], function, body) == set()


def test_the_options_of_a_run_and_the_vm_of_a_fault_stay_in_few_files():
    table = subprocess.run(
        [sys.executable, "-m", "ci.passed_through"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    ).stdout
    counts = {line[:34].strip(): int(line[34:].split()[0]) for line in table.splitlines()}

    assert counts["options of one run, with parts"] <= 15
    faults = {what: count for what, count in counts.items() if what.startswith("vm of a fault")}
    assert len(faults) == 3
    assert max(faults.values()) <= 22, faults
