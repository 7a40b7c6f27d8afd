"""One file per scenario; the registry in ``stress.scenario.scenario`` finds them."""
