"""docs/cli.md says what --help says, and every command is in it."""

import subprocess
import sys
from pathlib import Path

from stress.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_not_stale():
    said = subprocess.run(
        [sys.executable, str(ROOT / "ci" / "make_cli_docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (said.returncode, said.stderr) == (0, "")


def test_every_command_is_on_the_page():
    page = (ROOT / "docs" / "cli.md").read_text()

    assert [name for name in COMMANDS if f"## `hangdog {name}`" not in page] == []
