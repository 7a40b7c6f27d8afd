"""One run, from options to report: the entry point of the command line.

``run(options)`` builds a world, plays a scenario or replays a trace in it under a watchdog, then,
if nothing was found, lets every process exit and proves that nothing is left.  A run with a defect
differs from one without by the replaced steps and by nothing else: same noise, same limits, same
oracles.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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
from stress.run.closing import unfinished_script
from stress.run.opening import OwnFindings
from stress.run.options import COMPLETED, DEFAULT_SECONDS, OnProgress, RunOptions, RunReport
from stress.run.progress import Looker
from stress.run.script_workload import ScriptWorkload
from stress.run.set_up import SetUp, SetUpHung
from stress.run.workload import ReplayWorkload, ScenarioWorkload, Workload
from stress.run.world import Setting, World
from stress.scenario.scenario import find_scenario
from stress.trace import plan_trace, shipped
from vmcore.config import OPTIONS, Config
from vmcore.stats import counters

LINGER_S = 3.0  # a wrong lock order is followed that long: it may become the hang it threatens
FINAL_AUDIT_S = 120.0  # of watched time: the last audit has so long, and then it hangs
GRACE_S = 3.0  # a round of a scenario under heavy noise


def run(options: RunOptions, on_progress: OnProgress | None = None, linger_s: float = LINGER_S) -> RunReport:
    """Run it.  Errors: BadInput and its kin for options, HarnessError when the harness itself failed."""
    return run_workload(options, make_workload(options), on_progress, linger_s)


def run_workload(
    options: RunOptions,
    workload: Workload,
    on_progress: OnProgress | None = None,
    linger_s: float = LINGER_S,
) -> RunReport:
    """The same for a workload that is made already (a plan of one's own, a scenario that has no name)."""
    setting, own = setting_of(options, workload), OwnFindings(options)
    limit = SetUp(own)
    world: World | None = None
    try:
        try:
            with limit:
                world = World.boot(setting, limit.saw)
                workload.begin(world)
        except SetUpHung:
            return report_of(options, world, never_begun(options, workload, limit.finding))
        except HarnessError as error:
            if world is None:
                raise
            return report_of(options, world, own.setup_failure(world, error))
        result = execute(own, workload, world, on_progress, linger_s)
        return report_of(options, world, result)
    finally:
        limit.close(world)


def make_workload(options: RunOptions) -> Workload:
    """The scenario, script or replay that the options name."""
    if options.script:
        defect = find_defect(options.script)
        if defect.script is None:
            raise BadInput(
                f"defect {defect.id} has no script: only chance shows it", f"hangdog run --defect {defect.id}"
            )
        return ScriptWorkload(defect.script)
    if options.trace:
        return ReplayWorkload(plan_trace(shipped(options.trace)), options)
    return ScenarioWorkload(find_scenario(options.what), options)


def setting_of(options: RunOptions, workload: Workload) -> Setting:
    """The world that the workload needs, with what the options say otherwise."""
    defect = find_defect(options.defect) if options.defect else None
    sizes: dict[str, Any] = {**workload.sizes(), **tables_of(options.tables)}
    if options.pages is not None:
        sizes["pages"] = options.pages
    config = Config(
        **sizes,
        files=workload.file_sizes(),
        contracts=options.checks or options.checked,
        checked=options.checked,
    )
    return Setting(
        name=options.name or f"{options.what.replace('/', '_').replace(':', '-')[-40:]}-{os.getpid()}",
        config=config,
        workers=options.workers,
        replacements=dict(defect.replacements) if defect else {},
        disk_ms=workload.disk_ms if options.disk_ms is None else options.disk_ms,
        faults=faults_of(options, workload),
        switch_ms=options.switch_ms,
        disks=workload.disks if options.disks is None else options.disks,
        script=workload.script if isinstance(workload, ScriptWorkload) else None,
        seed=options.seed,
        room=workload.room(),
        arena_file=options.arena_file,
    )


def faults_of(options: RunOptions, workload: Workload) -> DiskFaults | None:
    """What the scenario does to its store, from this run's seed."""
    if not isinstance(workload, ScenarioWorkload) or not workload.scenario.faults:
        return None
    return DiskFaults(seed=options.seed, **workload.scenario.faults)


def tables_of(given: Mapping[str, int]) -> dict[str, int]:
    """Table sizes by the names of Config.  BadInput for a name that is none."""
    known = set(OPTIONS) | {"cache_max"}
    found = {name.replace("-", "_"): size for name, size in given.items()}
    if unknown := set(found) - known:
        raise BadInput(f"no table is named {min(unknown)!r}: there are {', '.join(sorted(known))}")
    return found


# --- the run and its end


def make_session(
    options: RunOptions,
    workload: Workload,
    world: World,
    linger_s: float = LINGER_S,
    grace_s: float = GRACE_S,
) -> Session:
    """The session in the world's arena, with what the options ask of a run."""
    return Session(
        workers=options.workers,
        mode=options.mode,
        seed=options.seed,
        arena=world.arena,
        dump_dir=options.dump_dir or None,
        noise=options.noise or workload.noise,
        faults=Faults(stops=options.stops) if options.stops else None,
        scenario=options.what,
        reproduce=options.command(),
        linger_s=linger_s,
        grace_s=grace_s,
        **limits_of(options, workload),
    )


def execute(
    own: OwnFindings, workload: Workload, world: World, on_progress: OnProgress | None, linger_s: float
) -> RunResult:
    """The run itself; its last audit proves that nothing is left.

    A run that the clock has ended had no last audit.  If all went well it gets a final audit: a short
    run of one worker that ends every process and audits.
    """
    options, session = own.options, make_session(own.options, workload, world, linger_s)
    look = Looker(world, workload, on_progress, options.watch_chains) if on_progress else None
    seconds = options.seconds
    if seconds is None and options.epochs is None and not options.trace:
        seconds = DEFAULT_SECONDS
    epochs = workload.epochs(options.epochs)
    with world.switching(), session:
        result = session.run_roles(
            [*workload.roles(world), *world.services()],
            epochs=epochs,
            audit=workload.audit(world, epochs),
            on_progress=look,
            time_limit_s=seconds,
        )
        if isinstance(workload, ScriptWorkload):
            result = unfinished_script(own, world, result)
        if not succeeded(result) or (result.ended_by == "done" and not workload.left()):
            return result
        world.restart_services()
        final = session.run_roles(
            [workload.final_audit(world), *world.services()], time_limit_s=FINAL_AUDIT_S
        )
    return merge_results(result, final)


def never_begun(options: RunOptions, workload: Workload, finding: Finding | None) -> RunResult:
    """The run whose set-up was broken off."""
    return RunResult(
        outcomes=(),
        findings=(finding,) if finding else (),
        ended_by="finding",
        seed=options.seed,
        mode=options.mode,
        limits=all_limits(options, workload),
    )


def all_limits(options: RunOptions, workload: Workload) -> dict[str, float]:
    """The three limits that a run reports."""
    usual = {name: getattr(Limits, name) for name in ("stall_s", "livelock_s", "frozen_s")}
    return usual | limits_of(options, workload)


def limits_of(options: RunOptions, workload: Workload) -> dict[str, Any]:
    """The watchdog's limits, by the names of Session, as far as they are not its usual ones.

    A script has a limit of its own, the same for R; what was asked for goes before it.
    """
    script = workload.script.livelock_s if isinstance(workload, ScriptWorkload) else None
    asked = {
        "stall_s": options.stall,
        "livelock_s": script if options.livelock is None else options.livelock,
        "frozen_s": options.frozen,
    }
    return {name: limit for name, limit in asked.items() if limit is not None}


def succeeded(result: RunResult) -> bool:
    """Did every worker come to an end by itself, with nothing found?"""
    workers = [outcome for outcome in result.outcomes if not outcome.service]
    return result.ok and all(isinstance(outcome, Passed) for outcome in workers)


def merge_results(result: RunResult, final: RunResult) -> RunResult:
    """The run with what its final audit found, which is later than all that the workers did."""
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
    """Is it the final audit's own worker, and did it find everything in order?"""
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
        findings=numbered(result.findings),
        notices=numbered(result.notices),
        limits={**result.limits, "setup_s": options.setup_limit},
        outcomes=list(result.outcomes),
        incidents=list(result.incidents),
        ended_by=result.ended_by,
        reproduce=options.command(),
        script=(world.gates.unfinished() or COMPLETED) if world and world.gates else "",
    )


def numbered(found: Iterable[Finding]) -> list[Finding]:
    """Of a run and its final audit, counted from 1."""
    return [
        msgspec.structs.replace(one, id=number, at_s=round(one.at_s, 3))
        for number, one in enumerate(found, 1)
    ]
