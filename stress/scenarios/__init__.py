"""One file per scenario; the registry in ``stress.scenario`` finds them."""
