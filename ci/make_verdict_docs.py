"""Write docs/verdicts.md from the table that the watcher's words come from.

python ci/make_verdict_docs.py            write it
python ci/make_verdict_docs.py --check    exit 1 when it is stale
"""

import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "verdicts.md"
HEAD = """# Verdicts: what is said, how certain it is, what to do

Made from `harness/watch/detectors/catalog.py` by `ci/make_verdict_docs.py`; a test fails when it is stale.

A *finding* ends the run; an order violation does so after three more seconds. What is not proved is a
*notice*: reported at once, without effect on `ok` or the exit code; it is a finding when it still holds
after its limit or at the end. Limits are seconds
of watched time: time in which the watcher itself did not run is not counted.

| verdict | certain when | otherwise | after | what to do |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole file."""
    sys.path.insert(0, str(ROOT))  # works in a tree that is not installed
    from harness.watch.detectors.catalog import CATALOG
    from harness.watch.detectors.history import Limits

    limits = asdict(Limits())
    rows = []
    for one in CATALOG:
        certain, reported, after = (text.format(**limits) for text in (one.certain, one.reported, one.after))
        rows.append(f"| `{one.verdict}` | {certain or '–'} | {reported or '–'} | {after} | {one.do} |")
    values = "\n".join(f"* `{name}`: {value:g} s" for name, value in limits.items())
    return HEAD + "\n".join(rows) + f"\n\n## Limits\n\n{values}\n"


def main() -> int:
    """Write, or compare."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        "hangdog: docs/verdicts.md does not say what the code says\n  try: python ci/make_verdict_docs.py\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
