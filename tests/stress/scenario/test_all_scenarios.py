"""Every scenario reads well in a list, and a short checked run of it finds nothing, in both modes."""

import pytest

from stress.run.options import RunOptions
from stress.run.runner import run
from stress.scenario.scenario import all_scenarios

WORKLOADS = {  # of docs/reference, section 7.2, in its order
    "fork-storm", "long-lived-parent", "fork-trees", "exec-storm", "shared-msync", "cut-files", "wire-storm",
    "clip-and-fork", "heap-growth", "shared-spaces", "exhaustion", "placement", "disk-trouble", "snapshots",
}  # fmt: skip
SECONDS, MINUTE = (1.0, 4.0, 16.0, 64.0), 60.0
MODES = ("process", "thread")


def test_there_is_a_scenario_for_every_workload():
    assert set(all_scenarios()) >= WORKLOADS


@pytest.mark.parametrize("scenario", all_scenarios().values(), ids=lambda scenario: scenario.name)
def test_a_scenario_says_in_one_sentence_what_it_does(scenario):
    assert 20 < len(scenario.about) < 100
    assert "." not in scenario.about
    assert scenario.about[0].islower()
    assert len({role.name for role in scenario.roles}) == len(scenario.roles)


@pytest.mark.parametrize(
    ("name", "mode"), [(name, MODES[number % 2]) for number, name in enumerate(all_scenarios())]
)
def test_a_short_checked_run_is_clean(name, mode, tmp_path):
    """One mode each; ``make slow`` runs every scenario in both, for longer.

    On a crowded machine a second may be over before any thread has completed a step.
    """
    for seconds in SECONDS:
        report = run(
            RunOptions(scenario=name, mode=mode, checked=True, seconds=seconds, dump_dir=str(tmp_path))
        )
        assert report.findings == []
        if report.steps:
            break

    assert report.steps > 0
    assert report.checks["audits"] >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", list(all_scenarios()))
def test_a_minute_of_checked_run_is_clean(name, mode, tmp_path):
    report = run(RunOptions(scenario=name, mode=mode, checked=True, seconds=MINUTE, dump_dir=str(tmp_path)))

    assert report.findings == []
    assert report.steps > 0
