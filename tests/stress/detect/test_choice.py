"""Which defects are meant and can be run as asked, and what the exit code says of a detection."""

from dataclasses import replace

import pytest

from stress.defect import all_defects, find_defect
from stress.detect import choice
from stress.detect.detect import NOT_ALL_FOUND, Detected, Detection, Trial

ASKED = "--origin documented"


def ids(found):
    return [one.id for one in found]


def refused(*named, scripts=False, pairs=False):
    found = [find_defect(one) if isinstance(one, str) else one for one in named]
    with pytest.raises(choice.NothingToRun) as why:
        choice.to_run(found, scripts, pairs, named=True, asked=ASKED)
    return str(why.value), why.value.without


def detection(*trials):
    return Detection(
        id="H1", name="n", origin="documented", scenario="s", expected=("leak",), asked=1, trials=trials
    )


def test_named_defects_come_once_in_order_and_no_name_is_the_catalogue():
    h2, h1 = find_defect("H2"), find_defect("H1")

    assert ids(choice.chosen([h2, h1, h2], None, None, None)) == ["H2", "H1"]
    assert ids(choice.chosen([], None, None, None)) == list(all_defects())


def test_every_filter_must_fit():
    whole = choice.chosen([], None, None, None)
    first = whole[0]

    found = choice.chosen([], first.origin, first.verdicts[0], first.scenario)

    assert first in found
    assert found == [
        one
        for one in whole
        if (one.origin, one.scenario) == (first.origin, first.scenario) and first.verdicts[0] in one.verdicts
    ]


def test_what_cannot_be_run_is_refused_with_the_option_to_leave_out():
    assert refused("H1", scripts=True, pairs=True)[1] == "scripts"
    assert refused()[1] == "filters"
    assert ASKED in refused()[0]
    unscripted = replace(find_defect("H1"), script=None)
    assert refused(unscripted, scripts=True) == ("H1 has no script: only chance shows it", "scripts")
    assert refused("H1", pairs=True) == ("a pair needs two defects: H1 alone is none", "")


def test_two_defects_of_one_step_are_no_pair():
    by_step: dict[tuple[str, ...], list[str]] = {}
    for one in all_defects().values():
        if len(one.steps) == 1:
            by_step.setdefault(one.steps, []).append(one.id)
    same = next(found for found in by_step.values() if len(found) > 1)[:2]

    why, without = refused(*same, pairs=True)

    assert without == "pairs"
    assert why.startswith(f"no two of {', '.join(same)} can be on at once: ")


@pytest.mark.parametrize(
    ("trials", "code"),
    [
        ([Trial(seed=1, verdict="leak", right=True)], 0),
        ([Trial(seed=1, verdict="panic")], NOT_ALL_FOUND),
        ([Trial(seed=1, verdict="leak", right=True, clean_without=False)], NOT_ALL_FOUND),
        ([Trial(seed=1, error="e", error_code=3), Trial(seed=2, error="e", error_code=4)], 4),
    ],
)
def test_the_exit_code_is_that_of_the_worst(trials, code):
    found = Detected(detections=(detection(*trials),))

    assert found.exit_code == code
    assert found.made == len(trials)
