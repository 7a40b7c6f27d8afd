"""What disturbs a run beside noise: stopped workers, and how long a thread keeps the interpreter."""

import sys

import pytest

from harness.errors import BadInput
from stress.run.options import RunOptions
from stress.run.runner import run, run_workload
from stress.run.script_workload import ScriptWorkload
from stress.script.script import Script


def test_stopped_workers_are_told_and_are_no_finding(tmp_path):
    report = run(RunOptions(stops=20.0, seconds=2.0, dump_dir=str(tmp_path)))

    assert report.findings == []
    assert any("SIGSTOP" in told for told in report.incidents)
    assert "--stops 20" in report.reproduce


def test_threads_change_places_as_often_as_was_asked():
    before = sys.getswitchinterval()
    script = Script(
        scene=lambda scene: scene.map("P", "O"),
        roles={"A": lambda scene: scene.write("P", 0, round(sys.getswitchinterval() * 1e6))},
        cues=(("A", "start"),),
        check=lambda scene: scene.expect("P", 0, 50),
    )

    report = run_workload(
        RunOptions(script="test", mode="thread", workers=1, switch_ms=0.05), ScriptWorkload(script)
    )

    assert report.findings == []
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"stops": -1.0},
        {"switch_ms": 0.0, "mode": "thread"},
        {"stops": 1.0, "mode": "thread"},
        {"switch_ms": 1.0},
    ],
)
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(BadInput):
        RunOptions(**wrong)
