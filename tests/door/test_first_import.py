"""Whatever of the public names is imported first, everything works.

Each name is looked up in a process of its own that had imported nothing of ours, and then a lock is used.
The processes are forks of one interpreter that has started and done nothing else.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300
# One line on standard input for each name: the statement that imports it.  What fails is printed.
PROGRAM = """
import os, sys, traceback
import dill, msgspec, multiprocess, psutil  # not ours, and slow to import

def alone(statement):
    assert not {"hangdog", "harness", "stress", "vmcore"} & {name.split(".")[0] for name in sys.modules}
    exec(statement, {})
    from hangdog import Arena
    with Arena.create("first") as arena:
        lock, shared, bell = arena.mutex("m"), arena.rwlock("rw"), arena.channel("c")
        record = arena.record({"count": 1})
        with lock, shared.read:
            record.count += lock.held()
        with arena.condition("room", lock) as room:
            assert arena.condition("room", lock).wait_for((record, "count", 2), 1.0)
        bell.notify_all()

for statement in sys.stdin.read().splitlines():
    child = os.fork()
    if not child:
        try:
            alone(statement)
        except BaseException:
            print(statement, traceback.format_exc().splitlines()[-1], sep=": ", flush=True)
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
print("asked", flush=True)
"""


def failures_of(statements: list[str]) -> list[str]:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(statements),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert said.stderr == ""
    *lines, last = said.stdout.splitlines()
    assert last == "asked", "the program that asks did not come to its end"
    return lines


def names_of(package: str) -> list[str]:
    """The public names, without importing it here: this process has everything already."""
    return subprocess.run(
        [sys.executable, "-c", f"import {package}; print(*{package}.__all__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    ).stdout.split()


@pytest.mark.parametrize("package", ["hangdog", "harness", "hangdog.errors"])
def test_each_public_name_may_be_the_first(package):
    names = names_of(package)

    assert len(names) > 8
    assert failures_of([f"from {package} import {name}" for name in names]) == []


def test_each_module_of_the_instrument_may_be_the_first():
    paths = sorted((ROOT / "harness").rglob("*.py"))
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]

    assert len(modules) > 50
    assert failures_of([f"import {module.removesuffix('.__init__')}" for module in modules]) == []


def test_a_name_that_does_not_work_alone_is_seen():
    (line,) = failures_of(["from hangdog import Arena", "from hangdog import Nothing"])

    assert line.startswith("from hangdog import Nothing: ImportError")
