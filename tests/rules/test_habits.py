"""What surrounds the code: the hooks run what `make check` runs, the issue form asks for what is needed."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_NAME = 70  # characters of a test's name, so that it is read at once


def too_long(text: str) -> list[str]:
    """Names of tests that are sentences of more than one thought."""
    names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_") and len(name) > MOST_NAME]


def test_names_of_tests_are_short_enough_to_be_read():
    found = {path: too_long(path.read_text()) for path in sorted((ROOT / "tests").rglob("*.py"))}

    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


def test_a_planted_name_that_is_too_long_is_found():
    name = "test_" + "x" * (MOST_NAME - 4)

    assert too_long(f"class A:\n    def {name}(self): ...\ndef {name[:-1]}(): ...\n") == [name]


def test_the_hooks_are_the_parts_of_make_check():
    makefile = (ROOT / "Makefile").read_text()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()

    parts = re.search(r"^check: ([a-z ]+?) ##", makefile, flags=re.MULTILINE)

    assert parts is not None
    assert re.findall(r"^ +entry: make -s (\w+)$", hooks, flags=re.MULTILINE) == parts[1].split()


def test_the_issue_form_asks_for_the_command_and_the_dump():
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "finding.yml").read_text()

    for asked in ("command", "dump"):
        field = form.partition(f"id: {asked}\n")[2].partition("- type:")[0]
        assert "required: true" in field
