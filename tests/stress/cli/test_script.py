"""``hangdog run --script``: what is said when nothing was played, and which of a defect's options count."""

import json
from dataclasses import replace

import pytest

import stress.defects.h6a_no_wakeup as module
from stress.cli.main import outcome

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
def test_a_script_is_looked_at_as_its_defect_asks_unless_somebody_says_otherwise(
    hangdog, tmp_path, typed, verdict
):
    said = hangdog("run", "--defect", "L50", "--script", *typed, "--json", "--dump-dir", str(tmp_path))

    assert said.code == FOUND, said
    assert verdict in [found["verdict"] for found in json.loads(said.out)["findings"]]
