"""Detection: trials of defects and of R, what is counted, and the page and the answers made of it."""

import json
from dataclasses import replace

import msgspec
import pytest

import stress.detect.detect
from harness.errors import BadInput
from stress.cli.main import outcome
from stress.defect import all_defects, find_defect
from stress.detect.detect import Detection, DetectOptions, Trial, detect, pairs_of, result_of
from stress.detect.report import page, summary
from stress.run.options import RunReport

# Each is met within some hundreds of steps.  A crowded machine makes a hundred in a second, so that chance
# would have to fail twenty times over; H6c takes thousands, and its script shows it as well.
QUICK = ("H1", "H2", "H3", "H6a", "H6b", "H7b", "H7c", "L3", "L42")
BUDGET_S = 240.0


def trial(seed, **parts):
    return Trial(**{"seed": seed, "verdict": "deadlock", "right": True, "seconds": 1.0, **parts})


def detection(*trials, **parts):
    kept = {
        "id": "H2",
        "name": "n",
        "origin": "documented",
        "scenario": "fork-storm",
        "expected": ("deadlock",),
        "asked": len(trials),
    }
    return Detection(**{**kept, **parts}, trials=trials)


@pytest.mark.parametrize("id", QUICK)
def test_chance_finds_the_quick_ones_and_nothing_without_them(id):
    seen = []

    detected = detect([find_defect(id)], DetectOptions(budget_s=BUDGET_S), lambda *told: seen.append(told))

    (found,) = detected.detections
    assert not detected.interrupted
    assert found.ok, found.trials
    assert found.trials[0].verdict in find_defect(id).verdicts
    assert 0 < (found.median_s or 0) <= BUDGET_S
    assert found.trials[0].excerpt[0].startswith(found.trials[0].verdict)
    assert f"--defect {id} " in found.trials[0].reproduce
    assert seen == [(found, found.trials[0])]


def test_a_script_is_one_trial_per_seed_and_needs_no_scenario():
    (found,) = detect([find_defect("H6b")], DetectOptions(scripts=True, seeds=2)).detections

    assert found.ok, found.trials
    assert [one.seed for one in found.trials] == [1, 2]
    assert found.scenario == "script:H6b"


def test_a_defect_that_changes_nothing_is_not_found():
    harmless = replace(find_defect("H6a"), replacements={})

    (found,) = detect_as("H6a", harmless)

    assert (found.detected, found.right, found.clean, found.ok) == (0, 0, 1, False)
    assert found.median_s is None
    assert found.epoch is None


def detect_as(id, defect):
    """Detection of a defect that the catalogue does not have."""
    import stress.defects.h6a_no_wakeup as module

    kept = module.defect
    module.defect = defect
    try:
        return detect([find_defect(id)], DetectOptions(scripts=True)).detections
    finally:
        module.defect = kept


def test_a_wrong_verdict_is_a_detection_that_does_not_count_as_right():
    (found,) = detect_as("H6a", replace(find_defect("H6a"), verdicts=("livelock",)))

    assert (found.detected, found.right, found.ok) == (1, 0, False)
    assert found.trials[0].verdict == "lost_wakeup"


def test_an_excerpt_is_the_head_and_what_the_sections_prove():
    (found,) = detect([find_defect("L9")], DetectOptions(scripts=True)).detections

    excerpt = found.trials[0].excerpt

    assert "what cannot be in this picture:" in excerpt
    assert any(line.startswith("  A9: pager") for line in excerpt)
    assert not any("last events" in line or line.startswith(("arena ", "try: ")) for line in excerpt)
    assert len(excerpt) < 50


# --- what is counted


def test_times_are_those_of_right_findings():
    found = detection(
        trial(1, seconds=2.0, steps=20, epoch=3),
        trial(2, seconds=8.0, steps=10, epoch=0),
        trial(3, seconds=5.0, steps=30, epoch=1),
        trial(4, seconds=0.5, right=False, verdict="panic"),
        trial(5, seconds=60.0, right=False, verdict=""),
    )

    assert (found.detected, found.right) == (4, 3)
    assert (found.median_s, found.worst_s) == (5.0, 8.0)
    assert (found.steps, found.epoch) == (20, 1)
    assert not found.ok


def test_a_finding_without_the_defect_spoils_it():
    loud = trial(2, clean_without=False, found_without=("leak",))

    assert detection(trial(1)).ok
    assert not detection(trial(1), loud).ok
    assert result_of(detection(trial(1), loud))["clean"] == 1


def test_a_trial_that_could_not_run_is_neither_found_nor_missed_nor_loud():
    found = detection(trial(1), Trial(seed=2, error="ArenaError: no room", error_code=3, clean_without=False))

    text = page([find_defect("H2")], [found], DetectOptions(seeds=2))

    assert (found.detected, found.right, found.clean, found.ok) == (1, 1, 1, False)
    assert "| 1/1, 1 could not run | 1/1 | 1/1 |" in text
    assert "Could not run: H2 (ArenaError: no room)." in text
    assert "beside" not in text
    assert "Not with every seed" not in text


def test_an_interrupted_defect_is_not_ok_with_the_trials_that_there_were():
    assert detection(trial(1), asked=1).ok
    assert not detection(trial(1), asked=2).ok
    assert "1 of 3 defects" in summary([detection(trial(1)), detection(trial(1), asked=2)], 3)
    assert "Not run with every seed: 2 of them." in summary(
        [detection(trial(1)), detection(trial(1), asked=2)], 3
    )


@pytest.mark.parametrize("number", range(1, 5))
def test_an_interrupt_ends_the_detection_with_what_there_is(number, monkeypatch):
    """In whichever of the four runs of two trials; in the last two the first trial is there."""
    calls = []

    def run(options):
        calls.append(options)
        if len(calls) == number and number % 2:
            raise KeyboardInterrupt  # outside a run nothing catches it
        report = RunReport(
            seed=1, scenario="", workers=1, mode="", duration_s=0, epochs=0, steps=0, steps_per_s=0,
            counters={}, checks={},
        )  # fmt: skip
        return msgspec.structs.replace(report, ended_by="interrupt") if len(calls) == number else report

    monkeypatch.setattr(stress.detect.detect, "run", run)

    found = detect([find_defect("H2")], DetectOptions(seeds=2))

    assert found.interrupted
    assert [len(one.trials) for one in found.detections] == ([1] if number > 2 else [])
    assert not any(one.ok for one in found.detections)
    assert len(calls) == number


def test_the_page_depends_on_nothing_but_what_was_found():
    defects = [find_defect("H2"), find_defect("L7")]
    found = [
        detection(
            trial(1, seconds=1.25, steps=1234, excerpt=("deadlock  fork-storm",), reproduce="hangdog run x")
        ),
        detection(trial(1, right=False, verdict=""), id="L7", name="m"),
    ]

    text = page(defects, found, DetectOptions())

    assert text == page(defects, found, DetectOptions())
    assert "| H2 | n | documented | fork-storm | 1/1 | 1/1 | 1/1 | 1.25 s | 1.25 s | 1,234 | 1 |" in text
    assert "| L7 | m | documented | fork-storm | 0/1 | 0/1 | 1/1 | - | - | - | - |" in text
    assert "1 of 2 defects were found with every seed and a right verdict. Not with every seed: L7." in text
    assert "```text\ndeadlock  fork-storm\n```" in text
    assert "Not found with a right verdict." in text


def test_a_page_of_scripts_says_only_what_the_other_page_does_not():
    defect = find_defect("H2")
    found = [detection(trial(1, seconds=0.25, excerpt=("deadlock  script:H2",), reproduce="hangdog run x"))]

    text = page([defect], found, DetectOptions(scripts=True))

    assert "| H2 | 1/1 | 1/1 | 1/1 | 0.25 s | 0.25 s |" in text
    section = "## H2 blocking-candidate-lock\n\nFound as deadlock by `hangdog run x`:"
    assert f"{section}\n\n```text\ndeadlock  script:H2" in text
    assert [step for step in defect.interleaving if step in text] == []
    assert defect.symptom not in text


@pytest.mark.parametrize(
    ("options", "title", "made_by"),
    [
        (DetectOptions(), "The defects, and how soon they are found", "defects --detect --budget 60s"),
        (
            DetectOptions(scripts=True),
            "The defects, played step by step",
            "defects --detect --budget 60s --seeds 1 --script",
        ),
        (DetectOptions(pairs=True), "Pairs of defects", "defects --detect --budget 60s --seeds 1 --pairs"),
        (
            DetectOptions(chosen="H2 --origin documented"),
            "The defects, and how soon they are found",
            "defects H2 --origin documented --detect --budget 60s",
        ),
    ],
)
def test_a_page_says_what_it_is_about_and_what_was_typed(options, title, made_by):
    text = page([], [], options)

    assert text.startswith(f"# {title}\n")
    words = " ".join(text.split())
    assert f"Generated by `hangdog {made_by}" in words
    assert ("the VM without it for as long, but at least 2 s" in words) != options.scripts


# --- pairs


def test_pairs_are_every_two_that_replace_different_steps():
    named = [find_defect(one) for one in ("H3", "L1", "H7b", "H8", "H6a")]  # H3 and L1 replace the same step

    pairs = pairs_of(named)

    assert [pair.id for pair in pairs] == [
        "H3+H7b", "H3+H8", "H3+H6a", "L1+H7b", "L1+H8", "L1+H6a", "H7b+H8", "H7b+H6a", "H8+H6a",
    ]  # fmt: skip
    for pair in pairs:
        one, two = map(find_defect, pair.id.split("+"))
        assert set(pair.steps) == set(one.steps) | set(two.steps)
        assert set(pair.verdicts) == set(one.verdicts) | set(two.verdicts)


def test_a_pair_runs_in_the_scenario_of_its_first_with_those_options():
    assert find_defect("H8").scenario != find_defect("H7a").scenario == find_defect("H4").scenario
    assert set(find_defect("H7a").options) - set(find_defect("H8").options)

    assert find_defect("H8+H7a").scenario == find_defect("H8").scenario
    assert find_defect("H8+H7a").options == find_defect("H8").options
    assert find_defect("H4+H7a").options == {**find_defect("H4").options, **find_defect("H7a").options}


def test_the_defects_of_the_log_are_the_first_thirteen_in_all_variants():
    assert [defect.id for defect in all_defects().values() if defect.seed_named] == [
        "H1", "H2", "H3", "H4", "H5a", "H5b", "H6a", "H6b", "H6c", "H7a", "H7b", "H7c", "H8", "H9",
        "H10a", "H10b", "H10c", "H11", "H12", "H13",
    ]  # fmt: skip


def test_two_at_once_are_found_as_either_and_their_page_is_a_table(tmp_path, capsys):
    target = tmp_path / "pairs.md"

    code = outcome(["defects", "H7b", "H6a", "--detect", "--pairs", "--json", "--write", str(target)])

    (row,) = json.loads(capsys.readouterr().out)
    assert (code, row["id"], row["ok"]) == (0, "H7b+H6a", True)
    assert set(row["expected"]) == {*find_defect("H7b").verdicts, *find_defect("H6a").verdicts}
    page = target.read_text()
    words = " ".join(page.split())
    assert "--pairs`; do not edit. Every two defects that replace different steps were run at once" in words
    assert "| H7b+H6a |" in page
    assert "\n## " not in page


def test_two_that_replace_the_same_step_are_refused():
    with pytest.raises(BadInput, match=r"H3 and L1 replace the same step, deallocate\.candidate"):
        find_defect("H3+L1")


# --- the command


def test_json_has_an_element_per_defect_in_the_order_of_the_ids(capsys):
    assert outcome(["defects", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)

    assert [row["id"] for row in rows] == list(all_defects())
    assert {tuple(row) for row in rows} == {("id", "name", "origin", "verdicts", "scenario")}
    ids = [row["id"] for row in rows]
    assert ids.index("H6a") < ids.index("H16") < ids.index("L1")


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["--origin", "documented"], lambda one: one.origin == "documented"),
        (["--verdict", "livelock"], lambda one: "livelock" in one.verdicts),
        (["--scenario", "snapshots"], lambda one: one.scenario == "snapshots"),
        (["H2", "L7,L6"], lambda one: one.id in ("H2", "L6", "L7")),
    ],
)
def test_filters_leave_those_that_fit(words, fits, capsys):
    assert outcome(["defects", *words, "--json"]) == 0

    shown = {row["id"] for row in json.loads(capsys.readouterr().out)}
    assert shown == {one.id for one in all_defects().values() if fits(one)}
    assert shown


def test_detection_by_command_writes_its_page_and_prints_what_it_found(tmp_path, capsys):
    target = tmp_path / "page.md"

    code = outcome(["defects", "H7b", "--detect", "--script", "--json", "--write", str(target)])

    said = capsys.readouterr()
    (row,) = json.loads(said.out)
    assert (code, row["id"], row["ok"], row["right"]) == (0, "H7b", True, 1)
    assert "self_deadlock; clean without" in said.err
    text = target.read_text()
    assert text.startswith("# The defects, played step by step\n")
    assert "`hangdog defects H7b --detect --budget 60s --seeds 1 --script`" in " ".join(text.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "soon"], "is no time"),
        (["--budget", "0s"], "is no time"),
        (["--seeds", "0"], "seeds"),
        (["--script", "--pairs"], "a script is that of one defect"),
        (["--verdict", "nonsense"], "there is no verdict 'nonsense'"),
        (["H99"], "no defect is named"),
    ],
)
def test_what_cannot_be_detected_is_refused_in_two_lines(words, said, capsys):
    assert outcome(["defects", "--detect", *words]) == 2

    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert said in lines[0]


@pytest.mark.parametrize(
    ("words", "reproduce"),
    [
        ([], "--scenario fork-storm --defect L5 --workers 4 --seed 1 --seconds 4 --checked"),
        (["--scenario", "fork-trees"], "--scenario fork-trees --defect L5 --workers 4 --seed 1 --seconds 4"),
    ],
)
def test_a_defect_runs_where_it_shows_best_unless_a_scenario_is_named(words, reproduce, tmp_path, capsys):
    outcome(["run", "--defect", "L5", *words, "--seconds", "4", "--json", "--dump-dir", str(tmp_path)])

    assert json.loads(capsys.readouterr().out)["reproduce"] == f"hangdog run {reproduce}"
