"""Which tests run which functions of vmcore, and how long each test takes: a plug-in for pytest.

A mutant is then tried with the tests that run its function, the quickest first, and not with a file
that happens to bear its name.  Two uses, by environment:

    HANGDOG_REACH=FILE    record: one JSON line for each test that passed (test, seconds, functions)
    HANGDOG_TESTS=TESTS   run only these tests, one a line, in this order

Seconds are of the processor: a loaded machine gives the same order.  What a test does in processes of
its own is not recorded; most such tests call the same functions in their own process as well.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

RECORD, ONLY = "HANGDOG_REACH", "HANGDOG_TESTS"


class Recorder:
    """The code objects that were entered since the last look, in whatever thread."""

    def __init__(self) -> None:
        self.seen: set[CodeType] = set()

    def __call__(self, frame: FrameType, _event: str, _arg: Any) -> None:
        """As a trace function: a call; its lines are not asked for."""
        self.seen.add(frame.f_code)

    def functions(self) -> list[str]:
        """module:function of each code object of vmcore; one inside another is the outer one."""
        found = {name(code) for code in self.seen if "/vmcore/" in code.co_filename}
        return sorted(found)


def name(code: CodeType) -> str:
    """module:function, as ``generate.errors`` names them."""
    outer = code.co_qualname.split(".<locals>")[0].rsplit(".", 1)[-1]
    return f"{Path(code.co_filename).stem}:{outer}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record one test, its fixtures included."""
    if RECORD not in os.environ:
        return (yield)
    recorder, began = Recorder(), time.process_time()
    failed = item.session.testsfailed
    threading.settrace(recorder)
    sys.settrace(recorder)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)
        if item.session.testsfailed == failed:
            spent = round(time.process_time() - began, 4)
            line = {"test": item.nodeid, "seconds": spent, "functions": recorder.functions()}
            with open(os.environ[RECORD], "a") as out:
                out.write(json.dumps(line) + "\n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the named tests, in the order of the names."""
    if ONLY not in os.environ:
        return
    wanted = {test: n for n, test in enumerate(os.environ[ONLY].splitlines())}
    gone = [item for item in items if item.nodeid not in wanted]
    items[:] = sorted((item for item in items if item.nodeid in wanted), key=lambda item: wanted[item.nodeid])
    config.hook.pytest_deselected(items=gone)
