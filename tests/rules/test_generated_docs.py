"""Pages that are made from the code say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stress.defect import all_defects

ROOT = Path(__file__).resolve().parents[2]


CATALOGUE = list(all_defects().values())
PAGES = ("defects.md", "defects-by-script.md")


def check(maker: str) -> tuple[int, str]:
    said = subprocess.run(
        [sys.executable, str(ROOT / "ci" / maker), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return said.returncode, said.stderr


@pytest.mark.parametrize("maker", ["make_record_docs.py", "make_coverage_docs.py", "make_verdict_docs.py"])
def test_a_made_page_is_not_stale(maker):
    assert check(maker) == (0, "")


def test_every_function_of_the_object_layer_has_a_contract_and_a_test():
    rows = [
        line for line in (ROOT / "docs" / "coverage.md").read_text().splitlines() if line.startswith("| 4.")
    ]

    assert len(rows) > 90
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5
        assert all(cells), row
        assert "Enter:" in cells[3]
        assert ".py::test_" in cells[4]


def on_page(name: str) -> tuple[dict[str, list[str]], dict[str, tuple[str, list[str]]]]:
    """By id, the cells of its row; by id, the heading's name and the numbered steps of its section."""
    text = (ROOT / "docs" / name).read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| [HL]\d", line)
    ]
    sections = {}
    for part in re.split(r"^## (?=[HL]\d)", text, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        which, _, title = head.partition(" ")
        told = rest.partition("```")[0]
        sections[which] = (title, re.findall(r"^\d+\. .*", told, flags=re.MULTILINE))
    return {row[0]: row for row in rows}, sections


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_defects_has_the_whole_catalogue_in_its_order(name):
    rows, sections = on_page(name)

    assert list(rows) == list(sections) == [defect.id for defect in CATALOGUE]


@pytest.mark.parametrize("defect", CATALOGUE, ids=[defect.id for defect in CATALOGUE])
def test_the_page_tells_a_defect_as_the_catalogue_does(defect):
    """What was measured may be old; what is told may not."""
    rows, sections = on_page("defects.md")
    steps = [f"{number}. {step}" for number, step in enumerate(defect.interleaving, 1)]

    assert rows[defect.id][:4] == [defect.id, defect.name, defect.origin, defect.scenario]
    assert sections[defect.id] == (defect.name, steps)


def test_the_page_of_scripts_does_not_tell_it_again():
    _, sections = on_page("defects-by-script.md")

    assert {which: name for which, (name, _) in sections.items()} == {one.id: one.name for one in CATALOGUE}
    assert [which for which, (_, steps) in sections.items() if steps] == []
