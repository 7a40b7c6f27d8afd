import re

import pytest

from harness.errors import BadInput
from harness.locks.contract import original
from stress.defect import all_defects, find_defect
from stress.run.options import RunOptions
from stress.run.runner import run, tables_of
from stress.scenario.scenario import Scenario, all_scenarios, find_scenario


def nothing(_actor, _stage):
    """Do nothing."""


def test_the_registry_knows_fork_storm():
    assert find_scenario("fork-storm") is all_scenarios()["fork-storm"]


def test_an_unknown_scenario_names_the_nearest_one():
    with pytest.raises(BadInput, match="did you mean 'fork-storm'") as caught:
        find_scenario("fork-strom")

    assert caught.value.hint == "hangdog list scenarios"


def test_the_cast_repeats_the_roles_in_order():
    scenario = Scenario("two")
    scenario.role("a", count=2)(nothing)
    scenario.role("b")(nothing)

    assert [role.name for role in scenario.cast(5)] == ["a", "a", "b", "a", "a"]


def test_a_scenario_without_roles_cannot_be_cast():
    with pytest.raises(BadInput, match="has no role"):
        Scenario("empty").cast(1)


def test_catalogue_ids_are_those_of_the_reference_variants_with_letters():
    ids = list(all_defects())

    assert {"H1", "H2", "H3", "H6a", "H6b", "H6c", "L6", "L11", "L40"} <= set(ids)
    assert all(re.fullmatch(r"[HL][1-9][0-9]?[a-d]?", name) for name in ids)
    assert find_defect("H6").id == "H6a"
    with pytest.raises(BadInput, match="no defect is named 'H99'"):
        find_defect("H99")


@pytest.mark.parametrize("defect", all_defects().values(), ids=lambda defect: defect.id)
def test_a_defect_says_where_it_comes_from_and_replaces_only_named_steps(defect):
    assert defect.origin in ("documented", "reconstructed")
    assert defect.quote
    assert defect.symptom
    assert len(defect.interleaving) >= 3
    assert defect.verdicts
    assert all(original(name).__module__.startswith("vmcore.") for name in defect.steps)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "0 workers"),
        ({"seconds": 0.0}, "does nothing"),
        ({"epochs": 0}, "does nothing"),
        ({"scenario": "fork-storm", "trace": "make"}, "a run has one of them"),
    ],
)
def test_options_that_mean_nothing_are_refused(given, said):
    with pytest.raises(BadInput, match=said):
        RunOptions(**given)


def test_a_table_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match="no table is named 'chairs'"):
        tables_of({"chairs": 3})


def test_the_reproduce_command_has_every_option_that_matters():
    options = RunOptions(
        defect="H2", seed=7, seconds=3.0, pages=99, tables={"swap_pages": 64}, checks=False, mode="thread"
    )

    assert options.command() == (
        "hangdog run --scenario fork-storm --defect H2 --workers 4 --mode thread --seed 7 --seconds 3"
        " --pages 99 --swap-pages 64 --no-checks"
    )


SLOW_ROUNDS = """
import time

from stress.scenario.steps import PAGE, pages_of
from stress.ops.core import allocate, create_process, leave, write
from stress.scenario.scenario import Scenario

scenario = Scenario("slow-rounds")


@scenario.role("writer")
def write_long(actor, pool):
    person = create_process(actor)
    allocate(actor, person, pages_of(0x10000, 1))
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        write(actor, person, 0x10000)
    leave(actor, person)


@scenario.check
def in_vain(actor, pool):
    raise AssertionError("never content")
"""


def test_what_the_final_audit_finds_is_later_than_the_run(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(SLOW_ROUNDS)

    report = run(RunOptions(scenario=str(file), workers=1, seconds=0.5, dump_dir=str(tmp_path)))

    assert report.epochs == 0, "an audit came first, this test would prove nothing"
    assert [finding.verdict for finding in report.findings] == ["panic"]
    assert report.findings[0].at_s > report.duration_s
