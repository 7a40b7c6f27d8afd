"""Scripts of a test's own, played once."""

from stress.run.options import RunOptions
from stress.run.runner import run_workload
from stress.run.script_workload import ScriptWorkload
from stress.script.script import Script

MODES = ("process", "thread")


def nothing(_scene):
    """A role without an act."""


def played(mode="process", options=None, **parts):
    """The report of a script without a defect."""
    script = Script(**{"scene": nothing, **parts})
    given = RunOptions(script="test", mode=mode, workers=len(script.roles), **(options or {}))
    return run_workload(given, ScriptWorkload(script))


def one_page(scene):
    """P's O has a page; LAST is another space, in which the roles of a test may count."""
    scene.map("P", "O")
    scene.put("O", 0, 7)
    scene.map("LAST")
