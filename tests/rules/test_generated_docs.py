"""Pages that are made from the code say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(maker: str) -> tuple[int, str]:
    said = subprocess.run(
        [sys.executable, str(ROOT / "ci" / maker), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return said.returncode, said.stderr


@pytest.mark.parametrize("maker", ["make_record_docs.py", "make_coverage_docs.py"])
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
