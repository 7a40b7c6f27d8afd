"""Scripts: every one of the catalogue shows its defect and is clean without it; and how gates behave."""

import re
import threading
from pathlib import Path

import pytest

from harness import _native
from harness.errors import BadInput
from harness.outcome import Killed, Passed
from harness.watch import dump
from stress.defect import all_defects
from stress.detect.detect import asked_of_run
from stress.run.options import COMPLETED, RunOptions, RunReport
from stress.run.runner import run
from stress.script.sync_points import AT_GATE, PLAYING, Cue, SyncPoints
from tests.stress.playing import MODES, nothing, one_page, played
from tests.vmcore.builders_files import LIMIT_S, thread

SCRIPTED = [defect for defect in all_defects().values() if defect.script]
IDS = [defect.id for defect in SCRIPTED]
OFF_TRACK = re.compile(
    r"script went off the track at .*?: role (?P<role>\w+) never reached .*: (?P<why>it .*)"
)
# Scripts with a cue that does not come with their defect on, and why.
OPENED = {
    "L10": "A never ends: it waits for the write with its locks held, and the gates open",
}
WAYS = [("process", True), ("thread", False), ("process", False), ("thread", True)]  # and checked or not


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("defect", SCRIPTED, ids=IDS)
def test_the_script_of_a_defect_shows_it_with_a_right_verdict(defect, mode, tmp_path):
    asked = asked_of_run(defect, script=True)  # as the command does

    report = run(RunOptions(**asked, defect=defect.id, mode=mode, dump_dir=str(tmp_path)))

    verdicts = [found.verdict for found in report.findings]
    assert set(verdicts) & set(defect.verdicts), f"{report.script}, found {verdicts}"
    assert not left_the_track(report) or defect.id in OPENED, report.script
    assert report.exit_code == 1
    assert dump.read(Path(report.findings[0].dump)).sections["vmcore"][0].startswith("free ")


def left_the_track(report):
    """Was there a cue that never came, although no finding had ended its role before it?"""
    match = OFF_TRACK.match(report.script)
    if match is None:
        return False
    well = {one.role for one in report.outcomes if isinstance(one, Passed)}
    return match["why"] != "it ended before it" or match["role"] in well


def test_only_a_role_that_a_finding_has_ended_may_miss_its_cue():
    def report(script, *outcomes):
        return RunReport(
            seed=1, scenario="", workers=1, mode="", duration_s=0, epochs=0, steps=0, steps_per_s=0,
            counters={}, checks={}, script=script, outcomes=list(outcomes),
        )  # fmt: skip

    killed, passed = Killed(worker="A#0", role="A", why="a finding"), Passed(worker="A#0", role="A")
    off = "script went off the track at cue 2 of 3: role A never reached end: it"

    assert not left_the_track(report(COMPLETED))
    assert not left_the_track(report("the run ended at cue 2 of 3 (A: end)"))
    assert not left_the_track(report(f"{off} ended before it", killed))
    assert left_the_track(report(f"{off} ended before it", passed))
    assert left_the_track(report(f"{off} is stuck, and all others wait", killed))


def is_clean_without(defect, mode, checked, folder):
    asked = asked_of_run(defect, script=True)
    report = run(RunOptions(**asked, mode=mode, checked=checked, dump_dir=str(folder)))

    assert report.findings == []
    assert report.ended_by == "done"
    assert report.checks["audits"] == 1
    # On R the interleaving may be impossible; then it says at which cue.
    assert report.script == COMPLETED or report.script.startswith("script went off the track at cue")


@pytest.mark.parametrize(
    ("defect", "mode", "checked"),
    [(defect, *WAYS[number % len(WAYS)]) for number, defect in enumerate(SCRIPTED)],
    ids=IDS,
)
def test_without_the_defect_its_script_is_clean(defect, mode, checked, tmp_path):
    """One way each; ``make slow`` plays every script in every way."""
    is_clean_without(defect, mode, checked, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "checked"), WAYS)
@pytest.mark.parametrize("defect", SCRIPTED, ids=IDS)
def test_without_the_defect_its_script_is_clean_in_every_way(defect, mode, checked, tmp_path):
    is_clean_without(defect, mode, checked, tmp_path)


def test_every_defect_has_a_script():
    assert [d.id for d in all_defects().values() if not d.script] == []


# --- gates


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["ABC", "CAB", "BCA"])
def test_roles_pass_their_points_in_the_order_of_the_cues(mode, order):
    def append(name):
        def act(scene):
            number = 0
            while scene.read("LAST", number):
                number += 1
            scene.write("LAST", number, ord(name))

        return act

    def check(scene):
        for number, name in enumerate(order):
            scene.expect("LAST", number, ord(name))

    cues = [(name, point) for name in order for point in ("start", "end")]

    report = played(
        mode, scene=one_page, roles={name: append(name) for name in "ABC"}, cues=cues, check=check
    )

    assert report.findings == []
    assert report.script == COMPLETED


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_waits_at_a_named_point_with_what_it_knows(mode):
    def count(scene):
        known = scene.read("LAST", 0)
        scene.vm.point("known")
        scene.write("LAST", 0, known + 1)

    report = played(
        mode,
        scene=one_page,
        roles={"A": count, "B": count},
        cues=[("A", "at known"), ("B", "start"), ("B", "end"), ("A", "point known")],
        check=lambda scene: scene.expect("LAST", 0, 1),  # B's is lost
    )

    assert report.findings == []
    assert report.script == COMPLETED


def test_a_space_that_left_does_not_leave_again_in_a_reused_record():
    def scene(scene):
        scene.map("P")
        slot = scene.space("P").slot
        scene.exit("P")
        scene.map("Q")
        assert scene.space("Q").slot == slot

    assert played(scene=scene, roles={"A": nothing}, cues=[("A", "start")]).findings == []


@pytest.mark.parametrize(("about", "told"), [("O", COMPLETED), ("U", "never reached")])
def test_a_cue_is_passed_only_by_the_record_that_it_names(about, told):
    def two(scene):
        one_page(scene)
        scene.map("Q", "U")

    report = played(
        scene=two,
        roles={"F": lambda scene: scene.read("P", 1)},  # a fault on O
        cues=[("F", f"exit page.vm_page_alloc({about})")],
    )

    assert report.findings == []
    assert told in report.script


def test_a_point_that_a_role_never_reaches_ends_the_script_in_good_order():
    report = played(
        scene=one_page,
        roles={"A": lambda scene: scene.expect("P", 0, 7), "B": nothing},
        cues=[("A", "start"), ("B", "enter deallocate.candidate(O)"), ("A", "end")],
    )

    assert report.findings == []
    assert report.script == (
        "script went off the track at cue 2 of 3: role B never reached "
        "enter deallocate.candidate(O): it ended before it"
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_role_that_waits_for_one_at_a_gate_ends_only_the_script(mode):
    def locked(scene):
        scene.object("O").lock.acquire()
        scene.object("O").lock.release()

    report = played(
        mode,
        scene=one_page,
        # A holds O at its gate, so B cannot come to its end.
        roles={"A": lambda scene: scene.read("P", 1), "B": locked},
        cues=[
            ("A", "enter page.vm_page_alloc(O)"),
            ("B", "start"),
            ("B", "end"),
            ("A", "exit page.vm_page_alloc(O)"),
        ],
    )

    assert report.findings == []
    # Noticed, and not waited out: then it would be said that it did not come in time.
    assert "at cue 3 of 4: role B never reached end: it is stuck" in report.script


@pytest.mark.parametrize(
    ("role", "point", "said"),
    [
        ("A", "enter nowhere.at_all", "no step is named"),
        ("A", "somewhere", "is no point of a script"),
        ("Z", "start", "the roles are A"),
    ],
)
def test_a_cue_that_can_never_come_is_refused(role, point, said):
    with pytest.raises(BadInput, match=said):
        played(roles={"A": nothing}, cues=[(role, point)])


@pytest.mark.parametrize(("next_role", "stuck"), [("A", False), ("B", True)])
def test_a_thread_at_an_open_gate_is_about_to_move(world, next_role, stuck):
    native = world.arena.native
    gates = SyncPoints(world.arena, (Cue(next_role, "start"),), ("A", "B"))
    gates.row.seats[native.sit("A#0")] = AT_GATE
    native.set_activity(_native.CONSTANTS["IO"])

    assert (gates.stuck() is not None) == stuck


@pytest.mark.parametrize(
    ("take", "waits", "stuck"),
    [
        (None, "WAIT_WRITE", False),
        (None, "WAIT_READ", False),
        ("read", "WAIT_WRITE", True),
        ("read", "WAIT_READ", False),
        ("write", "WAIT_READ", True),
        ("write", "WAIT_WRITE", True),
    ],
)
def test_a_waiter_for_a_released_map_is_woken_and_only_has_to_run(world, take, waits, stuck):
    native, lock = world.arena.native, world.arena.rwlock("map")
    native.leave()  # the thread that has the lock takes a seat of its own
    gates = SyncPoints(world.arena, (Cue("B", "start"),), ("A", "B"))
    with thread(hold, lock, take, over := threading.Event(), held := threading.Event()):
        assert held.wait(LIMIT_S)
        gates.row.seats[native.sit("A#0")] = PLAYING
        native.set_activity(_native.CONSTANTS[waits], lock.offset)

        assert (gates.stuck() is not None) == stuck

        native.set_activity(_native.CONSTANTS["RUNNING"])
        over.set()


def hold(lock, take, over, held):
    """Have the lock in this way until it is over."""
    lock.home.native.sit("keeper")
    if take:
        getattr(lock, take)()
    held.set()
    assert over.wait(LIMIT_S)
    if take:
        lock.release()
    lock.home.native.leave()


@pytest.mark.parametrize(("activity", "stuck"), [("REPORTING", False), ("JOINING", True)])
def test_a_thread_that_waits_until_its_report_is_seen_goes_on_by_itself(world, activity, stuck):
    native = world.arena.native
    gates = SyncPoints(world.arena, (Cue("B", "start"),), ("A", "B"))
    gates.row.seats[native.sit("A#0")] = PLAYING
    native.set_activity(_native.CONSTANTS[activity], native.seat())

    assert (gates.stuck() is not None) == stuck


def test_a_run_has_one_thing_to_play():
    with pytest.raises(BadInput, match="a run has one of them"):
        RunOptions(script="H2", scenario="fork-storm")


def test_a_defect_without_a_script_says_so():
    with pytest.raises(BadInput, match=r"defect H2\+L3 has no script"):
        run(RunOptions(script="H2+L3", defect="H2+L3"))  # two mistakes are two stories
