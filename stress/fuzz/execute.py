"""One repetition of a program: a world of its own, real workers, every oracle.

The program goes through the very file that is printed in the end, so what was shrunk is
what ``hangdog run --scenario FILE`` plays.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from harness.errors import HarnessError
from stress.fuzz.programs import Caught, Program, draw, failures, shrink
from stress.fuzz.scenario_file import as_scenario
from stress.run.opening import OwnFindings
from stress.run.options import RunOptions
from stress.run.runner import make_session, setting_of, succeeded
from stress.run.set_up import SetUp, SetUpHung
from stress.run.workload import ScenarioWorkload
from stress.run.world import World
from stress.scenario.scenario import find_scenario

LINGER_S = 0.0  # one finding is enough
GRACE_S = 1.0
LIMIT_S = 20.0  # a repetition, and its set-up, last a second; this ends what no verdict ends


class Runner:
    """Runs programs, with a defect or without."""

    def __init__(self, defect: str | None = None, epochs: int = 1, limit_s: float = LIMIT_S) -> None:
        self.defect, self.epochs, self.limit_s = defect, epochs, limit_s

    def once(self, program: Program, repetition: int) -> str | None:
        """The verdict of one repetition; None when every worker ended well."""
        with tempfile.TemporaryDirectory(prefix="hangdog-program-") as folder:
            path = Path(folder, "program.py")
            path.write_text(as_scenario(program))
            return self.play(str(path), program, repetition)

    def play(self, path: str, program: Program, repetition: int) -> str | None:
        """Play the file.  Its set-up has a limit like the run, and what it meets is a verdict, too."""
        seed = program.seed * 31 + repetition
        options = RunOptions(
            scenario=path,
            defect=self.defect,
            seed=seed,
            workers=len(program.roles),
            epochs=self.epochs,
            name=f"program-{os.getpid()}",
            setup_limit=self.limit_s,
        )
        workload, limit = ScenarioWorkload(find_scenario(path), options), SetUp(OwnFindings(options))
        world: World | None = None
        try:
            with limit:
                world = World.boot(setting_of(options, workload), limit.saw)
                workload.begin(world)
            return self.verdict_of(options, workload, world)
        except SetUpHung:
            return "hung"
        except HarnessError as error:
            if not (verdict := getattr(error, "verdict", "")):
                raise
            return str(verdict)
        finally:
            limit.close(world)

    def verdict_of(self, options: RunOptions, workload: ScenarioWorkload, world: World) -> str | None:
        """What comes of the workers."""
        with make_session(options, workload, world, LINGER_S, GRACE_S) as session:
            result = session.run_roles(
                [*workload.roles(world), *world.services()],
                epochs=self.epochs,
                audit=workload.audit(world, self.epochs),
                time_limit_s=LIMIT_S,
            )
        if result.findings:
            return str(result.findings[0].verdict)
        return None if succeeded(result) and result.ended_by == "done" else "no_end"


def hunt(
    seed: int, budget_s: float, defect: str | None = None, k: int = 2, n: int = 3, repeat: int = 2
) -> Caught | None:
    """Look for a program that fails, for so long; what is left then goes into shrinking.

    Each is run ``repeat`` times; one that failed once must then fail k of n times to be believed.
    None: nothing was found, every repetition was clean.
    """
    execute = Runner(defect).once
    deadline = time.monotonic() + budget_s
    drawn = 0
    while time.monotonic() < deadline:
        program = draw(seed * 1_000_003 + drawn)
        drawn += 1
        if not failures(program, execute, 1, repeat):
            continue
        verdicts = failures(program, execute, k, n)
        if len(verdicts) < k:
            k = 1  # it is rare: once is all we can ask of a smaller one
        small = shrink(program, k, n, execute, deadline)
        again = [verdict for number in range(n) if (verdict := execute(small, number)) is not None]
        told = (again or verdicts or ["unknown"])[0]
        return Caught(small, told, len(again), n, drawn, program)
    return None
