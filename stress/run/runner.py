"""One run, from options to report: the entry point of the command line.

``run(options)`` builds a world, plays a scenario or replays a trace in it under a watchdog, then,
if nothing was found, lets everybody leave and proves that nothing is left.  A run with a defect
differs from one without by the replaced steps and by nothing else: same noise, same limits, same
oracles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.errors import BadInput, HarnessError
from harness.outcome import Finding, Passed, RunResult
from harness.run.faults import Faults
from harness.run.session import Session
from harness.watch.detectors.judge import Limits
from stress.defect import find_defect
from stress.disk_faults import DiskFaults
from stress.oracles.hidden_pages import report as space_report
from stress.run.closing import broken_off
from stress.run.opening import broken_opening
from stress.run.options import COMPLETED, DEFAULT_SECONDS, FindingReport, OnProgress, RunOptions, RunReport
from stress.run.progress import Looker
from stress.run.script_workload import ScriptPlay
from stress.run.set_up import SetUp, SetUpHung
from stress.run.workload import Play, ReplayPlay, ScenarioPlay
from stress.run.world import Setting, World, switching
from stress.scenario.scenario import find_scenario
from stress.trace import plan_trace, shipped
from vmcore.config import OPTIONS, Config
from vmcore.stats import counters

LINGER_S = 3.0  # a wrong lock order is followed that long: it may become the hang it threatens
CURTAIN_S = 120.0  # of watched time: the last audit has so long, and then it hangs
GRACE_S = 3.0  # a round of a scenario under heavy noise


def run(options: RunOptions, on_progress: OnProgress | None = None) -> RunReport:
    """Run it.  Errors: BadInput and its kin for options, HarnessError when the harness itself failed."""
    return run_play(options, make_play(options), on_progress)


def run_play(options: RunOptions, play: Play, on_progress: OnProgress | None = None) -> RunReport:
    """The same for a play that is made already (a plan of one's own, a scenario that has no name)."""
    setting, limit = setting_of(options, play), SetUp(options)
    world: World | None = None
    try:
        try:
            with limit:
                world = World.boot(setting, limit.saw)
                play.begin(world)
        except SetUpHung:
            return report_of(options, world, never_begun(options, play, limit.finding))
        except HarnessError as error:
            if world is None:
                raise
            return report_of(options, world, broken_opening(options, world, error))
        result = act(options, play, world, on_progress)
        return report_of(options, world, result)
    finally:
        limit.close(world)


def make_play(options: RunOptions) -> Play:
    """What is to be played."""
    if options.script:
        defect = find_defect(options.script)
        if defect.script is None:
            raise BadInput(
                f"defect {defect.id} has no script: only chance shows it", f"hangdog run --defect {defect.id}"
            )
        return ScriptPlay(defect.script)
    if options.trace:
        return ReplayPlay(plan_trace(shipped(options.trace)), options)
    return ScenarioPlay(find_scenario(options.what), options)


def setting_of(options: RunOptions, play: Play) -> Setting:
    """The world that the play needs, with what the options say otherwise."""
    defect = find_defect(options.defect) if options.defect else None
    sizes: dict[str, Any] = {**play.sizes(), **tables_of(options.tables)}
    if options.pages is not None:
        sizes["pages"] = options.pages
    config = Config(
        **sizes, files=play.file_sizes(), contracts=options.checks or options.checked, checked=options.checked
    )
    return Setting(
        name=options.name or f"{options.what.replace('/', '_').replace(':', '-')[-40:]}-{os.getpid()}",
        config=config,
        workers=options.workers,
        replacements=dict(defect.replacements) if defect else {},
        disk_ms=play.disk_ms if options.disk_ms is None else options.disk_ms,
        faults=faults_of(options, play),
        switch_ms=options.switch_ms,
        disks=play.disks if options.disks is None else options.disks,
        script=play.script if isinstance(play, ScriptPlay) else None,
        seed=options.seed,
        room=play.room(),
        arena_file=options.arena_file,
    )


def faults_of(options: RunOptions, play: Play) -> DiskFaults | None:
    """What the scenario does to its store, from this run's seed."""
    if not isinstance(play, ScenarioPlay) or not play.scenario.faults:
        return None
    return DiskFaults(seed=options.seed, **play.scenario.faults)


def tables_of(given: Mapping[str, int]) -> dict[str, int]:
    """Table sizes by the names of Config.  BadInput for a name that is none."""
    known = set(OPTIONS) | {"cache_max"}
    found = {name.replace("-", "_"): size for name, size in given.items()}
    if unknown := set(found) - known:
        raise BadInput(f"no table is named {min(unknown)!r}: there are {', '.join(sorted(known))}")
    return found


# --- the run and its end


def act(options: RunOptions, play: Play, world: World, on_progress: OnProgress | None) -> RunResult:
    """The run itself; its last audit proves that nothing is left.

    A run that the clock has ended had no last audit.  If all went well it gets a curtain: a short
    run of one worker who sends everybody home and looks.
    """
    session = Session(
        workers=options.workers,
        mode=options.mode,
        seed=options.seed,
        arena=world.arena,
        dump_dir=options.dump_dir or None,
        noise=options.noise or play.noise,
        faults=Faults(stops=options.stops) if options.stops else None,
        scenario=options.what,
        reproduce=options.command(),
        linger_s=LINGER_S,
        grace_s=GRACE_S,
        **limits_of(options, play),
    )
    look = Looker(world, play, on_progress, options.watch_chains) if on_progress else None
    seconds = options.seconds
    if seconds is None and options.epochs is None and not options.trace:
        seconds = DEFAULT_SECONDS
    epochs = play.epochs(options.epochs)
    with switching(options.switch_ms), session:
        result = session.run_roles(
            [*play.roles(world), *world.services()],
            epochs=epochs,
            audit=play.audit(world, epochs),
            on_progress=look,
            time_limit_s=seconds,
        )
        if isinstance(play, ScriptPlay):
            result = broken_off(options, world, result)
        if not well(result) or (result.ended_by == "done" and not play.left()):
            return result
        world.restart_services()
        final = session.run_roles([play.curtain(world), *world.services()], time_limit_s=CURTAIN_S)
    return joined(result, final)


def never_begun(options: RunOptions, play: Play, finding: Finding | None) -> RunResult:
    """The run whose set-up was broken off."""
    return RunResult(
        outcomes=(),
        findings=(finding,) if finding else (),
        ended_by="finding",
        seed=options.seed,
        mode=options.mode,
        limits=all_limits(options, play),
    )


def all_limits(options: RunOptions, play: Play) -> dict[str, float]:
    """The three that a run reports."""
    usual = {name: getattr(Limits, name) for name in ("stall_s", "livelock_s", "frozen_s")}
    return usual | limits_of(options, play)


def limits_of(options: RunOptions, play: Play) -> dict[str, Any]:
    """The watchdog's limits, by the names of Session, as far as they are not its usual ones.

    A script has a limit of its own, the same for R; what was asked for goes before it.
    """
    script = play.script.livelock_s if isinstance(play, ScriptPlay) else None
    asked = {
        "stall_s": options.stall,
        "livelock_s": script if options.livelock is None else options.livelock,
        "frozen_s": options.frozen,
    }
    return {name: limit for name, limit in asked.items() if limit is not None}


def well(result: RunResult) -> bool:
    """Did everybody come to an end by himself, with nothing found?"""
    workers = [outcome for outcome in result.outcomes if not outcome.service]
    return result.ok and all(isinstance(outcome, Passed) for outcome in workers)


def joined(result: RunResult, final: RunResult) -> RunResult:
    """The run with what its curtain found, which is later than all that the workers did."""
    late = (
        msgspec.structs.replace(finding, at_s=finding.at_s + result.duration_s) for finding in final.findings
    )
    return msgspec.structs.replace(
        result,
        findings=(*result.findings, *late),
        notices=(*result.notices, *final.notices),
        incidents=result.incidents + final.incidents,
        audits=(*result.audits, *(outcome.worker for outcome in final.outcomes if ended_well(outcome))),
        outcomes=result.outcomes + tuple(o for o in final.outcomes if not isinstance(o, Passed)),
        ended_by=final.ended_by if final.findings else result.ended_by,
    )


def ended_well(outcome: object) -> bool:
    """Is it the curtain's own worker, and did he find everything in order?"""
    return isinstance(outcome, Passed) and not outcome.service


# --- the report


def report_of(options: RunOptions, world: World | None, result: RunResult) -> RunReport:
    """Everything that ``hangdog run --json`` prints; without a world its set-up did not get that far."""
    return RunReport(
        seed=options.seed,
        scenario=options.what,
        workers=options.workers,
        mode=options.mode,
        duration_s=result.duration_s,
        epochs=result.epochs,
        steps=result.steps,
        steps_per_s=round(result.steps / result.duration_s, 1) if result.duration_s else 0.0,
        counters=counters(world.vm) if world else {},
        checks={"audits": len(result.audits), "content_reads": world.reads() if world else 0},
        space=space_report(world.arena) if world else {},
        findings=[finding_of(number, finding) for number, finding in enumerate(result.findings, 1)],
        notices=[finding_of(number, notice) for number, notice in enumerate(result.notices, 1)],
        limits={**result.limits, "setup_s": options.setup_limit},
        outcomes=list(result.outcomes),
        incidents=list(result.incidents),
        ended_by=result.ended_by,
        reproduce=options.command(),
        script=(world.gates.told() or COMPLETED) if world and world.gates else "",
    )


def finding_of(number: int, finding: Finding) -> FindingReport:
    """One finding as the report has it."""
    return FindingReport(
        id=number,
        verdict=finding.verdict,
        summary=finding.summary,
        dump=finding.dump,
        detected_after_s=finding.detected_after_s,
        at_s=round(finding.at_s, 3),
        reproduce=finding.reproduce,
        text=finding.text,
    )
