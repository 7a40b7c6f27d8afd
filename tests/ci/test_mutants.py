"""The tables of deliberate errors fit the tree: each text is there once, each argument has its error."""

import pytest

from ci.mutants import core, vmcore, watch
from ci.mutants.engine import ROOT


@pytest.mark.parametrize("suite", [core.SUITE, watch.SUITE], ids=lambda suite: suite.name)
def test_each_error_by_hand_changes_one_place(suite):
    places = {
        mutant.name: sum(path.read_text().count(mutant.old) for path in ROOT.glob(mutant.file))
        for mutant in suite.mutants
    }

    assert len(places) > 50
    assert {name: count for name, count in places.items() if count != 1} == {}


def test_each_argument_is_about_an_error_that_is_made():
    made = {mutant.name for mutant in vmcore.SUITE.mutants}

    assert len(made) > 1000
    assert set(vmcore.arguments()) - made == set()
