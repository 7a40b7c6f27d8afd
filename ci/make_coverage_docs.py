"""Write docs/coverage.md: every function of docs/reference, section 4, where it is, what it promises,
and which tests are its own.

python ci/make_coverage_docs.py            write it
python ci/make_coverage_docs.py --check    exit 1 when it is stale, or when a cell would be empty

A test is a function's own when its body, or a helper of its module, names the function.  The
contract is the one that is checked at run time, so it is read from where it is checked.
"""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
TESTS = ROOT / "tests" / "vmcore"
SHOWN = 3  # tests in one cell; the rest is counted
HEAD = """# The object layer: what is implemented, and which contracts and tests check it

Made by `ci/make_coverage_docs.py` from `ci/coverage_rows.py`, the contracts in the docstrings (which
are checked at run time) and the tests; a test fails when it is stale or has an empty cell.

| § | function | where | contract | tests |
|---|---|---|---|---|
"""


class Empty(Exception):
    """A cell that would be empty; the text says which."""


def names_in(node: ast.AST) -> set[str]:
    """Every name that the code mentions."""
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} | {
        child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)
    }


def test_names() -> Iterator[tuple[str, str, set[str]]]:
    """(file, test, names that it mentions itself or through a helper of its file)."""
    for path in sorted(TESTS.rglob("test_*.py")):
        functions = {
            node.name: names_in(node)
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        for name, mentioned in functions.items():
            if not name.startswith("test_"):
                continue
            helpers = [functions[other] for other in mentioned if other in functions and other != name]
            yield str(path.relative_to(TESTS)), name, mentioned.union(*helpers)


def contract_of(where: str) -> tuple[str, str]:
    """(file, contract in a line) of ``module.function``; Empty when it has none that is checked."""
    from harness.locks.contract import SEAMS

    seam = SEAMS.get(where)
    if seam is None:
        raise Empty(f"{where} has no checked contract")
    lines = [line.strip() for line in (seam.function.__doc__ or "").splitlines()]
    parts = []
    for at, line in enumerate(lines):
        key = line.partition(":")[0]
        if key in ("Enter", "Exit", "Sleeps"):
            text = line.partition(":")[2].strip()
            for following in lines[at + 1 :]:
                if not following or following.split(":")[0] in ("Enter", "Exit", "Takes", "Sleeps"):
                    break
                text += " " + following
            parts.append(f"{key}: {text.rstrip('.')}")
    return f"{seam.where.rpartition('.')[0].replace('.', '/')}.py", "; ".join(parts)


def tests_of(function: str, given: tuple[str, ...]) -> str:
    """The tests that name the function, or all of the files that are given."""
    own = [(file, test) for file, test, mentioned in ALL_TESTS if function in mentioned]
    if not own:
        own = [(file, test) for file, test, _ in ALL_TESTS if file in given or test in given]
    if not own:
        raise Empty(f"{function}: no test names it, and {given or 'nothing'} is given instead")
    shown = [f"`{file}::{test}`" for file, test in own[:SHOWN]]
    more = len(own) - SHOWN
    return " ".join(shown) + (f" and {more} more" if more > 0 else "")


def page() -> str:
    """The whole file.  Empty names every cell that would be."""
    import vmcore
    from ci.coverage_rows import ROWS

    for module in pkgutil.walk_packages(vmcore.__path__, "vmcore."):
        importlib.import_module(module.name)  # registers its functions with their contracts
    rows, missing = [], []
    for section, name, where, given in ROWS:
        try:
            file, contract = contract_of(where)
            function = where.rpartition(".")[2]
            tests = tests_of(function, given)
        except Empty as error:
            missing.append(str(error))
            continue
        rows.append(f"| {section} | {name} | `{function}` in {file} | {contract} | {tests} |")
    if missing:
        raise Empty("; ".join(missing))
    return HEAD + "\n".join(rows) + "\n"


ALL_TESTS = list(test_names())


def main() -> int:
    """Write, or compare."""
    sys.path.insert(0, str(ROOT))  # works in a tree that is not installed
    try:
        text = page()
    except Empty as error:
        sys.stderr.write(f"hangdog: docs/coverage.md would have empty cells: {error}\n")
        return 1
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        "hangdog: docs/coverage.md does not say what is there\n  try: python ci/make_coverage_docs.py\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
