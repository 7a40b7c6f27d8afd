"""Columns of text: aligned, the last one wrapped under itself."""

import shutil
import textwrap
from collections.abc import Sequence

NARROWEST = 24  # a last column thinner than this is worse than a long line


def columns(rows: Sequence[Sequence[str]], width: int = 0) -> str:
    """Rows of equal length as text; ``width`` 0 is that of the terminal (or 100 without one)."""
    if not rows:
        return ""
    width = width or shutil.get_terminal_size((100, 24)).columns
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    indent = sum(wide) + 2 * len(wide)
    lines = []
    for row in rows:
        head = "".join(f"{cell:<{size}}  " for cell, size in zip(row[:-1], wide, strict=True))
        wrapped = textwrap.wrap(row[-1], max(NARROWEST, width - indent)) or [""]
        lines += [(head + wrapped[0]).rstrip(), *(" " * indent + more for more in wrapped[1:])]
    return "\n".join(lines)
