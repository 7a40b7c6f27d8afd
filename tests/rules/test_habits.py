"""What surrounds the code: the hooks run what `make check` runs, the issue form asks for what is needed."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
