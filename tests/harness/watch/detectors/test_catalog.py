"""The table of verdicts names what the rules and the reports can say, and nothing twice."""

import ast
import inspect

from harness.locks import reports
from harness.watch.detectors import deadlocks, frozen, livelocks, lost_wakeups, orphans, stalls
from harness.watch.detectors.catalog import CATALOG

OTHERS = {"crash", "hung"}  # of processes: the supervisor's


def said_by_the_rules():
    found = set(reports.VERDICTS.values()) | {"self_deadlock", "deadlock"}
    for module in (deadlocks, frozen, livelocks, lost_wakeups, orphans, stalls):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "verdict"
                and isinstance(node.value, ast.Constant)
            ):
                found.add(str(node.value.value))
    return found


def test_every_verdict_is_in_the_table_once():
    names = [one.verdict for one in CATALOG]

    assert len(names) == len(set(names))
    assert set(names) == said_by_the_rules() | OTHERS
