"""What a scenario is made of: roles, the pool of processes, common steps, the power switch."""

from stress.scenario.scenario import Scenario as Scenario
