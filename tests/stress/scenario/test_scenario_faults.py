"""A scenario may ask for a store with faults; the store of any other has none."""

from stress.run.options import RunOptions
from stress.run.runner import setting_of
from stress.run.workload import ScenarioWorkload
from stress.scenario.scenario import find_scenario


def setting(scenario, seed):
    options = RunOptions(scenario=scenario, seed=seed)
    return setting_of(options, ScenarioWorkload(find_scenario(scenario), options))


def test_a_scenario_s_faults_reach_the_store_with_the_seed_of_the_run():
    faults = setting("disk-trouble", 7).faults

    assert faults.seed == 7
    assert {name: getattr(faults, name) for name in find_scenario("disk-trouble").faults} == dict(
        find_scenario("disk-trouble").faults
    )
    assert faults.get_error == 0  # a load that fails would be no mistake of the VM's


def test_without_them_the_store_is_left_alone():
    assert setting("fork-storm", 7).faults is None
