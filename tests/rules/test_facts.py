"""A sentence of ours is for people: what explains a finding works on data and searches no text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPLAINING = ("harness/watch/causes", "harness/watch/detectors", "stress/dump_sections", "stress/oracles")
SEARCHES = {"split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix"}


def searches(source: str) -> list[str]:
    """Uses of regular expressions, and of the methods of str that take a text apart."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: re" for alias in node.names if alias.name == "re"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += [f"{node.lineno}: {node.func.attr}"] * (node.func.attr in SEARCHES)
    return found


@pytest.mark.parametrize("folder", EXPLAINING)
def test_what_explains_a_finding_reads_no_sentence(folder):
    files = sorted((ROOT / folder).glob("*.py"))

    assert files
    assert {str(file): found for file in files if (found := searches(file.read_text()))} == {}


def test_a_search_is_seen():
    assert searches("import re\nwhy.split(' died: ')\nwhy.startswith('holds ')\n") == [
        "1: re", "2: split", "3: startswith",
    ]  # fmt: skip
