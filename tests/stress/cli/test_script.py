"""``hangdog run --script``: what is said when nothing was played, and which of a defect's options count."""

import json
from dataclasses import replace

import pytest

import stress.defects.h6a_no_wakeup as module
from stress.cli.main import outcome
from stress.defect import LOOKS, all_defects
from stress.run.options import RunOptions
from tests.stress.cli.conftest import parses

HARNESS_FAILED, FOUND = 3, 1


def test_a_script_that_did_not_show_its_defect_is_an_error_of_two_lines(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(module, "defect", replace(module.defect, replacements={}))
    assert module.defect.script is not None
    script = replace(module.defect.script, cues=[*module.defect.script.cues, ("pageout", "at nowhere")])
    monkeypatch.setattr(module, "defect", replace(module.defect, script=script))

    code = outcome(["run", "--defect", "H6a", "--script", "--dump-dir", str(tmp_path), "--json"])

    fact, remedy = capsys.readouterr().err.splitlines()[-2:]
    assert code == HARNESS_FAILED
    assert fact.startswith("hangdog: H6a: ")
    assert "(pageout: at nowhere)" in fact
    assert remedy == "  try: hangdog run --defect H6a --script"


@pytest.mark.parametrize(("typed", "verdict"), [((), "deadlock"), (("--checks",), "contract_violation")])
def test_a_script_runs_with_its_defects_checks_unless_told_otherwise(hangdog, tmp_path, typed, verdict):
    said = hangdog("run", "--defect", "L50", "--script", *typed, "--json", "--dump-dir", str(tmp_path))

    assert said.code == FOUND, said
    assert verdict in [found["verdict"] for found in json.loads(said.out)["findings"]]


def test_a_script_is_not_looked_at_more_closely_because_chance_needs_it():
    """Checked mode ends H12, H19, L13... at an early cue, before the numbered steps are told."""
    assert LOOKS == ("checks",)
    assert {one.id for one in all_defects().values() if one.options.get("checked") and one.looks} == set()


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--workers", "2", "its roles are its workers"),
        ("--epochs", "3", "it is played once"),
        ("--touches", "2", "it replays no trace"),
        ("--tasks", "2", "it replays no trace"),
        ("--seed", "2", "no chance is in it"),
    ],
)
@pytest.mark.parametrize(
    ("words", "again"),
    [
        (("--defect", "H6a", "--script"), "--defect H6a --script"),
        (("--script", "H6a"), "--script H6a"),
    ],
)
def test_what_a_script_takes_no_notice_of_is_refused(option, value, why, words, again, capsys):
    code = outcome(["run", *words, option, value])

    fact, remedy = capsys.readouterr().err.splitlines()
    assert code == 2
    assert fact.startswith(f"hangdog: {option} has no effect with --script: ")
    assert why in fact
    assert remedy == f"  try: hangdog run {again}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"checks": False}, "--no-checks"),
        ({"checked": True}, "--checked"),
        ({"script": "L50", "defect": "L50", "checks": False}, ""),
        ({"script": "L50", "defect": "L50"}, "--checks"),
        ({"pages": 40, "disks": 2, "tables": {"swap_pages": 99}}, "--pages 40 --disks 2 --swap-pages 99"),
        ({"seconds": 5.0, "mode": "thread", "switch_ms": 0.5}, "--mode thread --seconds 5 --switch-ms 0.5"),
        ({"seed": 3}, ""),
        ({"seed": 3, "noise": "none"}, "--noise none"),
        ({"seed": 3, "noise": "light"}, "--seed 3 --noise light"),
        ({"seed": 3, "disk_ms": 2.0}, "--seed 3 --disk-ms 2"),
        ({"seed": 3, "stops": 1.0}, "--seed 3 --stops 1"),
        ({"workers": 2, "epochs": 3, "tasks": 4, "touches": 2.0}, ""),
    ],
)
def test_the_command_of_a_script_has_all_that_changes_it(given, words):
    options = RunOptions(**{"script": "H6a", "defect": "H6a", **given})

    command = options.command()

    assert command == f"hangdog run --defect {options.defect} --script {words}".rstrip()
    parses(command)


def test_the_report_of_a_script_says_what_was_typed(capsys, tmp_path):
    outcome(["run", "--defect", "H6a", "--script", "--no-checks", "--json", "--dump-dir", str(tmp_path)])

    assert json.loads(capsys.readouterr().out)["reproduce"] == "hangdog run --defect H6a --script --no-checks"
