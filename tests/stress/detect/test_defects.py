"""The catalogue of defects is in order, and R is clean where they are not on.

Whether each defect is found: test_scripts.py (step by step) and test_detect.py (by chance).
"""

import pkgutil
import re
import shlex
from pathlib import Path

import msgspec
import pytest

import stress.defects
from harness.errors import BadInput
from harness.locks import contract
from harness.run.plan import STOP_ON
from harness.watch import dump
from stress.cli.run import run as run_command
from stress.defect import all_defects, find_defect
from stress.run.options import RunOptions
from stress.run.runner import run
from stress.scenario.scenario import all_scenarios
from vmcore import ranks

SEEDS = (1, 2)
FOUND_S = 60.0
DEFECTS = list(all_defects().values())
EACH = pytest.mark.parametrize("defect", DEFECTS, ids=[defect.id for defect in DEFECTS])
CLASSES = {lock_class.name: number for number, lock_class in enumerate(ranks.ALL)}
REFERENCE = re.compile(r"^(H([1-9]|[12]\d|3[0-2])|L([1-9]|[1-4]\d|50))[a-e]?$")


# --- the catalogue


def test_there_is_one_file_per_defect_and_it_begins_with_the_id():
    files = [module.name for module in pkgutil.iter_modules(stress.defects.__path__)]

    assert sorted(name.split("_")[0].upper() for name in files) == sorted(d.id.upper() for d in DEFECTS)


@EACH
def test_an_entry_says_everything(defect):
    assert REFERENCE.match(defect.id)
    assert defect.quote
    assert defect.symptom
    assert len(defect.interleaving) >= 2
    assert defect.scenario in all_scenarios()
    assert set(defect.verdicts) <= STOP_ON | {"order_violation"}
    assert defect.verdicts
    assert defect.replacements


@EACH
def test_replaced_steps_exist_and_their_contracts_can_be_read(defect):
    try:
        contract.bind(True, defect.replacements, CLASSES)
        bound = {name for name in contract.SEAMS if contract.SEAMS[name].bound is not contract.original(name)}
        assert set(defect.steps) <= bound
    finally:
        contract.unbind()


@EACH
def test_a_replaced_step_takes_what_the_repaired_one_takes(defect):
    for name, replacement in defect.replacements.items():
        code, repaired = replacement.__code__, contract.original(name).__code__
        if not code.co_flags & 0x04:  # *args take anything
            assert code.co_varnames[: code.co_argcount] == repaired.co_varnames[: repaired.co_argcount]


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(BadInput, match=r"no defect is named 'H6z'; did you mean 'H6"):
        find_defect("H6z")
    assert find_defect("H6").id == "H6a"


def test_the_command_of_a_finding_does_the_same_again(tmp_path):
    report = run(RunOptions(defect="H1", seed=2, seconds=FOUND_S, dump_dir=str(tmp_path)))

    (found,) = (found for found in report.findings if found.verdict == "self_deadlock")
    assert report.exit_code == 1
    command = "--scenario fork-storm --defect H1 --workers 4 --seed 2 --seconds 60"
    assert found.reproduce == f"hangdog run {command}"
    assert 0 < found.at_s <= report.duration_s
    shown = dump.read(Path(found.dump))
    assert shown.sections["vmcore"][0].startswith("free ")
    assert any(line.startswith("O") for line in shown.sections["vmcore"])


# --- without a defect


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
    # An audit that is under way when the time is up comes to its end, and its epoch does not count.
    assert report.checks["audits"] - report.epochs in (1, 2)


def test_the_report_has_the_keys_that_the_design_names():
    report = msgspec.to_builtins(run(RunOptions(seed=3, epochs=1, workers=2)))

    assert report["schema"] == "hangdog.run/1"
    assert {
        "schema", "seed", "scenario", "workers", "mode", "duration_s", "epochs", "steps", "steps_per_s",
        "counters", "checks", "findings",
    } <= set(report)  # fmt: skip
    assert report["epochs"] == 1
    assert report["checks"]["audits"] == 1
    assert report["findings"] == []


@EACH
def test_what_to_type_to_see_a_defect_by_chance_can_be_typed(defect):
    _, _, *words = shlex.split(defect.command)

    context = run_command.make_context("run", words)

    for name, value in defect.options.items():
        assert context.params[name] == value
    assert (context.params["scenario"], context.params["defect"]) == (defect.scenario, defect.id)
