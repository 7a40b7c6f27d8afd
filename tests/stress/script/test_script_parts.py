"""What a script may say beside its cues: rounds, a disk that fails, its own patience; and how it ends."""

import itertools
import re
import threading

import pytest

from harness.errors import BadInput
from harness.watch.detectors.judge import Limits
from stress.defect import find_defect
from stress.detect.detect import DetectOptions, run_options
from stress.oracles.at_rest import InvariantViolated
from stress.run.options import COMPLETED
from tests.harness.run.roles import until_enough
from tests.stress.playing import MODES, nothing, one_page, played
from tests.waiting import LIMIT_S, join
from vmcore.page.page import vm_page_lookup

TIMES = 5


@pytest.fixture(params=["forked", "spawned"])
def supervisor(request):
    """A front with a second thread cannot fork: then world and script travel as data."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, args=(LIMIT_S,))
    if request.param == "spawned":
        thread.start()
    yield request.param
    end.set()
    if thread.ident:
        join(thread)


def clean(scene):
    """An msync that does not wait: the daemon reaps it."""
    scene.clean("O", sync=False)


# --- services


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("about", "told"), [("O", COMPLETED), ("U", "pageout: exit swap_io.finish")])
def test_a_service_passes_a_cue_only_with_the_record_that_it_names(supervisor, mode, about, told):
    def two(scene):
        one_page(scene)
        scene.map("Q", "U")

    report = played(
        mode,
        scene=two,
        roles={"A": clean},
        cues=[("A", "start"), ("pageout", f"exit swap_io.finish_pages({about})")],
    )

    assert report.findings == []
    assert told in report.script


@pytest.mark.parametrize(("asked", "given"), [({}, 1), ({"disks": 3}, 3)])
def test_a_script_has_as_many_disks_as_it_says(asked, given):
    report = played(scene=one_page, roles={"A": nothing}, cues=[("A", "start")], **asked)

    assert len([one for one in report.outcomes if one.role == "disk"]) == given


def test_disks_that_are_asked_for_are_there_in_a_script_as_well():
    report = played(options={"disks": 2}, scene=one_page, roles={"A": nothing}, cues=[("A", "start")])

    assert len([one for one in report.outcomes if one.role == "disk"]) == 2


# --- a disk that fails


def swapped(scene):
    """The scene's own transfers are spared."""
    one_page(scene)
    scene.swap_out("O")
    scene.write("P", 0, 8)


def fail(scene):
    with pytest.raises(InvariantViolated):
        scene.clean("O")


@pytest.mark.parametrize("mode", MODES)
def test_the_first_transfers_fail_whichever_process_makes_them(supervisor, mode):
    report = played(
        mode,
        scene=swapped,
        roles={"A": fail, "B": fail, "C": lambda scene: scene.clean("O")},
        cues=[("A", "end"), ("B", "start"), ("B", "end"), ("C", "start")],
        faults={"put_error": 2},
        check=lambda scene: scene.expect("P", 0, 8),
    )

    assert report.findings == []
    assert report.script == COMPLETED


def test_a_fault_that_no_disk_meets_is_refused():
    with pytest.raises(BadInput, match="no disk meets 'late'"):
        played(roles={"A": nothing}, cues=[("A", "start")], faults={"late": 1})


# --- rounds


def count(scene):
    """Read, be overtaken, and store: only turns keep the count right."""
    for _ in range(TIMES):
        scene.vm.point("turn")
        known = scene.read("LAST", 0)
        scene.write("LAST", 0, known + 1)
        scene.vm.point("done")


@pytest.mark.parametrize("mode", MODES)
def test_rounds_come_again_until_a_role_ends(mode):
    report = played(
        mode,
        scene=one_page,
        roles={"A": count, "B": count},
        cues=[("A", "start")],
        rounds=[(role, f"at {name}") for role in "AB" for name in ("turn", "done")],
        check=lambda scene: scene.expect("LAST", 0, 2 * TIMES),
    )

    assert report.findings == []
    # Both have passed all rounds; which of them ends first is not promised.
    ends = {f"cue {cue} of 5, round {TIMES + 1}: role {role}" for cue, role in ((2, "A"), (4, "B"))}
    said = report.script.removeprefix("script went off the track at ")
    assert said.split(" never reached at turn: it ended")[0] in ends


# --- ends


def refuse(scene):
    """A loop that tells of every failure."""
    while True:
        scene.vm.native.failure()


@pytest.mark.parametrize("mode", MODES)
def test_a_script_may_be_less_patient_than_the_watchdog_is_by_itself(mode):
    usual = {"seconds": Limits.livelock_s}  # by then it would have been ended as one that hangs

    report = played(mode, usual, roles={"A": refuse}, cues=[("A", "start")], livelock_s=0.1)

    assert [found.verdict for found in report.findings] == ["livelock"]


def test_without_a_word_about_it_the_watchdog_is_as_patient_as_ever():
    report = played(options={"seconds": 1.0}, roles={"A": refuse}, cues=[("A", "start")])

    (found,) = report.findings
    if found.verdict != "hung":  # one that does not get the processor has so much time to end
        said = re.search(r" in ([\d.]+) s", found.summary)
        assert said, found.summary
        assert (found.verdict, float(said[1]) >= Limits.livelock_s) == ("livelock", True)


def spin(_scene):
    """No failure, no step, no wait: nothing that the watchdog could see."""
    for _ in itertools.count():
        pass


@pytest.mark.parametrize("mode", MODES)
def test_a_role_that_never_ends_is_a_finding_when_the_time_is_up(mode, tmp_path):
    def run(limit_s):
        return played(
            mode,
            options={"seconds": limit_s, "dump_dir": str(tmp_path)},
            roles={"A": nothing, "B": spin},
            cues=[("A", "end"), ("B", "start"), ("B", "end")],
        )

    report = until_enough(run, lambda report: report.findings and "cue 3" in report.findings[0].summary)

    (found,) = report.findings
    assert (report.ended_by, report.exit_code, found.verdict) == ("time limit", 1, "hung")
    assert "role B did not end" in found.summary
    assert "role A" not in found.summary
    assert "at cue 3 of 3" in found.summary
    assert found.dump.startswith(str(tmp_path))


# --- contracts


def look_up_by_name(scene):
    found = scene.object("O")
    found.lock.acquire()
    assert vm_page_lookup(offset=0, object=found, vm=scene.vm) is not None
    found.lock.release()


@pytest.mark.parametrize("checks", [True, False])
def test_a_step_with_a_gate_may_be_called_by_name(checks):
    report = played(
        options={"checks": checks},
        scene=one_page,
        roles={"A": look_up_by_name},
        cues=[("A", "enter page.vm_page_lookup(O)"), ("A", "exit page.vm_page_lookup(O)")],
    )

    assert report.findings == []
    assert report.script == COMPLETED


@pytest.mark.parametrize(("id", "checks", "workers"), [("L50", False, 4), ("L8", True, 4)])
def test_a_script_takes_from_its_defects_options_only_what_is_looked_at(id, checks, workers):
    defect = find_defect(id)

    for without in (False, True):
        options = run_options(defect, DetectOptions(scripts=True), 1, 60.0, without=without)
        assert (options.checks, options.workers) == (checks, workers)
