"""Each historical mistake is found, with a right verdict; and without it the same runs are clean.

Real processes, and chance: the limits are several times what these seeds take on two busy cores.
"""

from pathlib import Path

import pytest

from harness.watch import dump
from stress.defect import all_defects
from stress.options import RunOptions
from stress.runner import run

SEEDS = (1, 2)
FOUND_S = 60.0
DEFECTS = list(all_defects().values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("defect", DEFECTS, ids=[defect.id for defect in DEFECTS])
def test_a_defect_is_found_with_a_right_verdict_and_a_dump_that_shows_the_vm(defect, seed, tmp_path):
    report = run(RunOptions(defect=defect.id, seed=seed, seconds=FOUND_S, dump_dir=str(tmp_path)))

    right = [found for found in report.findings if found.verdict in defect.verdicts]
    assert right, f"{defect.id}: {report.ended_by}, {[found.verdict for found in report.findings]}"
    assert report.exit_code == 1
    found = right[0]
    command = f"--scenario fork-storm --defect {defect.id} --workers 4 --seed {seed} --seconds 60"
    assert found.reproduce == f"hangdog run {command}"
    shown = dump.read(Path(found.dump))
    assert shown.sections["vmcore"][0].startswith("free ")
    assert any(line.startswith("O") for line in shown.sections["vmcore"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["process", "thread"])
def test_without_a_defect_the_same_run_is_clean(seed, mode, tmp_path):
    report = run(RunOptions(seed=seed, mode=mode, epochs=1, dump_dir=str(tmp_path)))

    assert report.findings == []
    assert report.ended_by == "done"
    assert report.epochs == report.checks["audits"] == 1
    assert report.checks["content_reads"] > 1000
    assert report.counters["object_collapses"] > 20
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_the_clock_ends_gets_its_last_audit_all_the_same(tmp_path):
    report = run(RunOptions(seed=1, seconds=2.0, dump_dir=str(tmp_path)))

    assert report.findings == []
    assert report.ended_by == "time limit"
    assert report.checks["audits"] == report.epochs + 1


def test_the_report_has_the_keys_that_the_design_names():
    report = run(RunOptions(seed=3, epochs=1, workers=2)).to_json()

    assert report["schema"] == "hangdog.run/1"
    assert {
        "schema", "seed", "scenario", "workers", "mode", "duration_s", "epochs", "steps", "steps_per_s",
        "counters", "checks", "findings",
    } <= set(report)  # fmt: skip
    assert report["epochs"] == 1
    assert report["checks"]["audits"] == 1
    assert report["findings"] == []
