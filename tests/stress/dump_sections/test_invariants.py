"""A dump that names an invariant says what it promises, and shows the life of the page that it names."""

import re
from pathlib import Path

import vmcore
from harness.shm.facts import details_of
from harness.watch import dump
from stress.dump_sections.invariants import RULES, told
from stress.run.options import RunOptions
from stress.run.runner import run
from vmcore.vm_error import broken

SOURCES = Path(vmcore.__file__).parent.rglob("*.py")


def test_every_invariant_that_an_audit_names_has_words():
    named = {code for path in SOURCES for code in re.findall(r'"([AQ]\d{1,2})"', path.read_text())}

    assert len(named) > 20
    assert named - RULES.keys() == set()


def test_each_rule_is_told_once_in_the_order_of_the_violations():
    facts = [broken(rule, "it is so") for rule in ("Q4", "A3", "Q4", "Z9")]

    lines = told(details_of([*facts, "A7: a sentence proves nothing"]).rules)

    assert [line.split(":")[0] for line in lines[::2]] == ["Q4", "A3"]
    assert [line.split()[0] for line in lines[1::2]] == ["broken", "broken"]


def test_a_dump_of_a_broken_invariant_has_its_rule_and_page_history(tmp_path):
    """H11 takes a page off its queue in a copy-on-write fault and does not put it back."""
    report = run(RunOptions(script="H11", defect="H11", dump_dir=str(tmp_path)))
    found = dump.read(Path(report.findings[0].dump))

    page = re.findall(r"Q4: page (\d+) is on 0 queues", found.summary)[0]
    assert found.sections["what must hold"][0].startswith("Q4: ")
    life = found.sections["journey of the page"]
    assert life[0] == f"page {page}, oldest first:"
    assert any(line.endswith(f"F#0: P{page} leaves O3+0") for line in life)


def test_a_run_without_findings_on_pages_has_neither_section(tmp_path):
    report = run(RunOptions(script="H25", defect="H25", dump_dir=str(tmp_path)))
    sections = dump.read(Path(report.findings[0].dump)).sections

    assert not sections.get("what must hold")
    assert not sections.get("journey of the page")
