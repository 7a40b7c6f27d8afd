"""Tests do not wait without a deadline: a hang must be a failure that says what did not come."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
WAITS = {"join", "wait", "recv", "get", "result", "communicate"}
RUNS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
# Their waits have a limit of their own: actors.py, tests/vmcore/builders.py, tests/stress/cli/conftest.py.
BOUNDED = {
    "actor.inbox", "self.inbox", "self.from_actor", "team", "crowd", "family", "started", "start",
    "theirs",  # a wire whose peer is gone
}  # fmt: skip
# Programs that hang because they must; each runs below tests/truth/runner.py, which ends it.
HANG_ON_PURPOSE = {TESTS / "truth"}


def files():
    return [p for p in sorted(TESTS.rglob("*.py")) if not any(p.is_relative_to(d) for d in HANG_ON_PURPOSE)]


def endless(source: str) -> list[str]:
    """Calls in a source that may wait for ever."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {word.arg for word in node.keywords}
        bare = not node.args and not keywords
        if isinstance(node.func, ast.Attribute) and node.func.attr in WAITS and bare:
            owner = node.func.value
            owner = owner.func if isinstance(owner, ast.Call) else owner
            if ast.unparse(owner) not in BOUNDED:
                found.append(f"{node.lineno}: {called}() without a time limit")
        elif called in RUNS and "timeout" not in keywords:
            found.append(f"{node.lineno}: {called} without timeout=")
        elif called == "os.waitpid" and ast.unparse(node.args[1]) == "0":
            found.append(f"{node.lineno}: os.waitpid(..., 0): tests.waiting.reap has a limit")
    return found


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_wait_of_a_test_has_a_deadline(path):
    assert endless(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("thread.join()", True),
        ("thread.join(3)", False),
        ("join(thread)", False),
        ("', '.join(words)", False),
        ("queue.get()", True),
        ("queue.get(timeout=3)", False),
        ("event.wait()", True),
        ("team.wait()", False),
        ("start('run').wait()", False),
        ("subprocess.run(['true'])", True),
        ("subprocess.run(['true'], timeout=3)", False),
        ("os.waitpid(pid, 0)", True),
        ("os.waitpid(pid, os.WNOHANG)", False),
    ],
)
def test_the_rule_refuses_what_it_should(source, refused):
    assert bool(endless(source)) == refused
