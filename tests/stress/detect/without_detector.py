"""Run a defect's script with one detector taken away; print whether it was rightly found.

A program of its own: from a process with one thread the supervisor and the watchdog are forked, so what is
taken away here is away there.

    python -m tests.stress.detect.without_detector DETECTOR DEFECT FOLDER
    python -m tests.stress.detect.without_detector DETECTOR all FOLDER    each: id, found or missed
    python -m tests.stress.detect.without_detector DETECTOR DEFECT FOLDER SECONDS    by chance: the verdicts
"""

import re
import sys

from harness.watch.detectors import judge
from stress.defect import all_defects, find_defect
from stress.detect.detect import asked_of_run
from stress.ops import files, shared, snapshots
from stress.oracles.contents import ObservationLog
from stress.run import script_workload
from stress.run.options import RunOptions
from stress.run.runner import run
from stress.script.scene import Scene

AUDITED = re.compile(r"\b(?:[AQ]\d{1,2}|colours): ")
LIMITS_S = (1.5, 6.0, 24.0)  # a run that hangs unseen is ended then


def circles_of_waits():
    vars(judge)["deadlocks"] = lambda *_: []


def forgotten_sleepers():
    vars(judge).update(lost=lambda *_: [], none_left=lambda *_: [])


def contents():
    """What a script's load must show, and the content oracle in all its places."""
    Scene.expect = lambda scene, space, page, _value: scene.read(space, page)  # type: ignore[method-assign,assignment]
    ObservationLog.check_private = ObservationLog.check_shared = unheard  # type: ignore[method-assign]
    vars(files)["check"] = vars(shared)["check_genuine"] = unheard
    vars(snapshots)["check_exposed"] = unheard


def unheard(*_):
    """Whatever was read is fine."""


def audits():
    vars(script_workload).update(audit_at_rest=lambda _vm: None, audit_the_end=lambda _vm: None)


def nothing():
    pass


TAKE_AWAY = {act.__name__: act for act in (circles_of_waits, forgotten_sleepers, contents, audits, nothing)}


def seen_by(found):
    """Which detector makes such a finding."""
    if found.summary.startswith("audit#0 (") and AUDITED.search(found.summary):
        return "audits"
    if "last stored was" in found.summary:  # a script may have a check of its own for something else
        return "contents"
    return {"deadlock": "circles_of_waits", "lost_wakeup": "forgotten_sleepers"}.get(found.verdict, "another")


def findings(name, folder):
    """The right findings of a defect's script.

    A script that the clock ended and of which nothing was found, not even a role that hangs, did not get
    its processor: it is given more time.
    """
    defect = find_defect(name)
    asked = asked_of_run(defect, script=True)
    for seconds in LIMITS_S:
        report = run(RunOptions(**asked, defect=name, dump_dir=folder, seconds=seconds))
        if report.findings or report.ended_by != "time limit":
            break
    return [found for found in report.findings if found.verdict in defect.verdicts]


def by_chance(name, folder, seconds):
    """All verdicts of a defect where it shows best."""
    asked = asked_of_run(find_defect(name)) | {"seconds": seconds}
    report = run(RunOptions(**asked, defect=name, dump_dir=folder))
    return {found.verdict for found in report.findings}


def main(detector, name, folder, seconds=None):
    """Print ``found`` or ``missed``; by chance, the verdicts."""
    TAKE_AWAY[detector]()
    if seconds is not None:
        print(*sorted(by_chance(name, folder, float(seconds))))
        return
    if name != "all":
        print("found" if findings(name, folder) else "missed")
        return
    for one in all_defects():
        right = findings(one, folder)
        print(one, "found" if right else "missed", ",".join(sorted({seen_by(found) for found in right})))


if __name__ == "__main__":
    main(*sys.argv[1:])
