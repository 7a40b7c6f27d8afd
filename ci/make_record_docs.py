"""Write docs/records.md and docs/lock-order.md from the rows that the code is made of.

python ci/make_record_docs.py            write them
python ci/make_record_docs.py --check    exit 1 when one is stale

The records come from vmcore/structs.py, the letters from its docstring, the order from
vmcore/ranks.py, the try-locks from the source: nothing here is written twice.
"""

import ast
import ctypes
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RECORDS_HEAD = """# The records of the VM

Made by `ci/make_record_docs.py` from `vmcore/structs.py`; a test fails when it is stale.  In checked
mode (`hangdog run --checked`) every access to a field verifies what this page says.

"""
ORDER_HEAD = """# The lock order

Made by `ci/make_record_docs.py` from `vmcore/ranks.py` and the source; a test fails when it is stale.
A lower rank is taken first.  Locks of one rank never nest in each other, except where it says so.
While a lock is held that may not sleep, its holder does not wait for anything but the next lock.

| rank | lock | its holder | nests in its own class | taken by so many functions | remark |
|---|---|---|---|---|---|
"""
TRY_HEAD = """
## Tried, never waited for

Against the order a lock is only tried; a thread that does not get it skips, or backs off and comes back.

| where | what is tried |
|---|---|
"""


def cell(text: str) -> str:
    """Text that does not break a table."""
    return text.replace("|", "\\|")


def record_types() -> Iterator[Any]:
    """Every record of structs.py, in the order of the file."""
    from vmcore import structs

    for value in vars(structs).values():
        is_record = isinstance(value, type) and issubclass(value, ctypes.Structure)
        if is_record and hasattr(value, "GUARDS") and value.__module__ == structs.__name__:
            yield value


def type_name(kind: Any) -> str:
    """``u32``, ``i32``, ``u64[157]``, or the lock that is embedded."""
    if issubclass(kind, ctypes.Array):
        return f"{type_name(kind._type_)}[{kind._length_}]"
    if issubclass(kind, ctypes.Structure):
        return str(kind.__name__.removesuffix("Record").lower())
    signed = kind(-1).value < 0
    return f"{'i' if signed else 'u'}{8 * ctypes.sizeof(kind)}"


def records_page() -> str:
    """docs/records.md."""
    from harness.shm.layout import split_guard
    from vmcore import structs

    legend = (structs.__doc__ or "").strip().split("\n", 1)[1].strip("\n")
    parts = [RECORDS_HEAD + "```text\n" + legend + "\n```\n"]
    for record in record_types():
        about = " ".join((record.__doc__ or "").split())
        lines = [
            f"## {record.__name__}: {ctypes.sizeof(record)} bytes\n",
            f"{about}\n",
            "| field | type | to write | to read | meaning |",
            "|---|---|---|---|---|",
        ]
        for name, kind, *_ in record._fields_:
            writes, reads = split_guard(record.GUARDS[name])
            note = cell(record.NOTES[name])
            lines.append(f"| {name} | {type_name(kind)} | {cell(writes)} | {cell(reads)} | {note} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def rank_remarks() -> dict[str, str]:
    """Lock name -> the comment behind its row in ranks.py."""
    source = (ROOT / "vmcore" / "ranks.py").read_text(encoding="utf-8")
    rows = re.findall(r'^[A-Z_]+ = LockClass\("([^"]+)".*\)  # (.+)$', source, re.MULTILINE)
    return dict(rows)


def takers(name: str) -> int:
    """How many functions say that they may take a lock of this class."""
    from harness.locks.contract import SEAMS

    return sum(seam.parsed.takes is not None and name in seam.parsed.takes for seam in SEAMS.values())


def tries() -> Iterator[tuple[str, str]]:
    """(file and function, lock) of every try in vmcore, read from the source."""
    for path in sorted((ROOT / "vmcore").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in ("try_acquire", "try_write", "try_read", "upgrade")
                ):
                    yield f"{path.relative_to(ROOT)}, `{function.name}`", f"`{ast.unparse(node.func)}`"


def order_page() -> str:
    """docs/lock-order.md."""
    import vmcore
    from vmcore import ranks

    for module in pkgutil.walk_packages(vmcore.__path__, "vmcore."):
        importlib.import_module(module.name)  # registers its functions with their contracts
    lines, remarks = [], rank_remarks()
    for lock in sorted(ranks.ALL, key=lambda lock: lock.rank):
        nests = "no"
        if lock.chain:
            nests = f"along `{lock.chain[0]}.{lock.chain[1]}`: the one that points first"
        elif lock.nest:
            nests = "yes"
        holder = "may sleep" if lock.may_sleep else "must not sleep"
        remark = remarks.get(lock.name, "")
        lines.append(f"| {lock.rank} | {lock.name} | {holder} | {nests} | {takers(lock.name)} | {remark} |")
    tried = [f"| {where} | {what} |" for where, what in tries()]
    return ORDER_HEAD + "\n".join(lines) + "\n" + TRY_HEAD + "\n".join(tried) + "\n"


def main() -> int:
    """Write, or compare."""
    sys.path.insert(0, str(ROOT))  # works in a tree that is not installed
    stale = []
    for name, text in (("records.md", records_page()), ("lock-order.md", order_page())):
        path = DOCS / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        sys.stderr.write(
            f"hangdog: {', '.join(stale)} does not say what the code says\n"
            "  try: python ci/make_record_docs.py\n"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
