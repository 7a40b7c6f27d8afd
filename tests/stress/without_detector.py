"""Run a defect's script with one detector taken away; print whether it was rightly found.

A program of its own: from a process with one thread the supervisor and the watchdog are forked, so what is
taken away here is away there.

    python -m tests.stress.without_detector DETECTOR DEFECT FOLDER
"""

import sys

from harness.watch import verdicts
from stress import script_play
from stress.defect import find_defect
from stress.options import RunOptions
from stress.runner import run
from stress.script_scene import Scene

LIMIT_S = 1.5  # a run that hangs unseen is ended then


def circles_of_waits():
    vars(verdicts)["_cycles"] = lambda *_: []


def forgotten_sleepers():
    vars(verdicts).update(_lost=lambda *_: [], _nobody_left=lambda *_: [])


def contents():
    Scene.expect = lambda scene, space, page, _value: scene.read(space, page)  # type: ignore[method-assign,assignment]


def audits():
    vars(script_play).update(audit_at_rest=lambda _vm: None, audit_the_end=lambda _vm: None)


def nothing():
    pass


TAKE_AWAY = {act.__name__: act for act in (circles_of_waits, forgotten_sleepers, contents, audits, nothing)}


def main(detector, name, folder):
    """Print ``found`` or ``missed``."""
    TAKE_AWAY[detector]()
    report = run(RunOptions(script=name, defect=name, dump_dir=folder, seconds=LIMIT_S))
    right = {found.verdict for found in report.findings} & set(find_defect(name).verdicts)
    print("found" if right else "missed")


if __name__ == "__main__":
    main(*sys.argv[1:])
