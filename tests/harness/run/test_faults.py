"""Fault injection: seeded, recorded, only in the middle of a run, and not the program's fault."""

import signal

import pytest

from harness.errors import BadInput
from harness.outcome import Killed, Passed
from harness.run import Faults, RoleSpec, Session
from harness.run.faults import Injector
from tests.harness.run.roles import spin_until, turn_until_told, until_enough


def injections(faults, seed, alive=(0, 1, 2, 3), seconds=10.0):
    injector, seen, at = Injector(faults, seed), [], 0.0
    while (at := injector.next_at()) < seconds:
        seen += [(round(at, 9), injection) for injection in injector.due(at, alive)]
    return seen


def test_the_same_seed_gives_the_same_injections():
    faults = Faults(kills=3, stops=5)

    assert injections(faults, 7) == injections(faults, 7)
    assert injections(faults, 7) != injections(faults, 8)


def test_rates_are_per_second():
    seen = injections(Faults(kills=20, stops=40), 1, range(100), seconds=20.0)

    kinds = [injection.signal for _, injection in seen]
    assert kinds.count(signal.SIGKILL) == pytest.approx(400, rel=0.25)
    assert kinds.count(signal.SIGSTOP) == pytest.approx(800, rel=0.25)


def test_a_stopped_worker_is_continued_after_its_time():
    seen = injections(Faults(stops=5, stop_s=(0.1, 0.2)), 3, seconds=20.0)

    open_since = {}
    for at, injection in seen:
        if injection.signal == signal.SIGSTOP:
            assert injection.target not in open_since
            open_since[injection.target] = at + injection.stopped_s
        else:
            assert at == pytest.approx(open_since.pop(injection.target))


def test_the_last_ones_are_spared():
    assert injections(Faults(kills=50, spare=2), 1, alive=(0, 1)) == []
    assert injections(Faults(kills=50, spare=1), 1, alive=(0, 1)) != []


def test_most_is_a_limit_on_all():
    assert len([injection for _, injection in injections(Faults(kills=50, most=3), 1)]) == 3


def test_the_end_continues_all_and_injects_no_more():
    injector = Injector(Faults(stops=1000, stop_s=(5, 5)), 1)
    injector.due(1.0, [0, 1])
    stopped = injector.stopped()

    last = injector.end()

    assert {injection.target for injection in last} == stopped != set()
    assert {injection.signal for injection in last} == {signal.SIGCONT}
    assert injector.next_at() == float("inf")


@pytest.mark.parametrize(
    "bad",
    [
        {"kills": -1},
        {"stops": 1e9},
        {"stops": float("inf")},
        {"stops": float("nan")},
        {"stop_s": (0.2, 0.1)},
        {"stop_s": (0, 1)},
        {"spare": -1},
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(BadInput):
        Faults(**bad)


def test_killed_workers_are_told_and_are_no_crash():
    def run(limit_s):
        with Session(workers=4, faults=Faults(kills=50, most=2), time_limit_s=limit_s) as session:
            return session.run(turn_until_told, epochs=None)

    result = until_enough(run, lambda result: len(result.incidents) >= 2)

    kinds = sorted(type(outcome).__name__ for outcome in result.outcomes)
    assert kinds == ["Killed", "Killed", "Passed", "Passed"]
    assert {outcome.why for outcome in result.outcomes if isinstance(outcome, Killed)} == {"fault injection"}
    killed = sorted(o.worker for o in result.outcomes if isinstance(o, Killed))
    assert sorted(text.split(" to ")[1].split()[0] for text in result.incidents) == killed
    assert all("SIGKILL" in text for text in result.incidents)
    assert (result.findings, result.ended_by) == ((), "time limit")


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_stopped_workers_go_on_and_are_not_called_frozen(mode):
    faults = Faults(stops=40, stop_s=(0.005, 0.02))

    def run(limit_s):
        with Session(workers=3, mode=mode, faults=faults, time_limit_s=limit_s) as session:
            return session.run(turn_until_told, epochs=None)

    def enough(result):
        return len(result.incidents) > 3 and all(outcome.steps for outcome in result.outcomes)

    result = until_enough(run, enough)

    assert [type(outcome) for outcome in result.outcomes] == [Passed] * 3
    assert enough(result)
    assert all("SIGSTOP" in text for text in result.incidents)
    assert result.findings == ()


def test_a_worker_still_stopped_at_the_end_is_continued():
    faults = Faults(stops=50, stop_s=(60, 60), most=2)

    def run(limit_s):
        with Session(workers=3, faults=faults, time_limit_s=limit_s, grace_s=20.0) as session:
            return session.run(turn_until_told, epochs=None)

    result = until_enough(run, lambda result: len(result.incidents) >= 2)

    assert len(result.incidents) == 2
    assert [type(outcome) for outcome in result.outcomes] == [Passed] * 3


def test_a_lock_that_a_killed_worker_held_is_orphaned():
    def take(context):  # before any injection: a worker that is killed without the lock leaves no orphan
        context.arena.mutex("precious").acquire()

    def hold(_context):
        spin_until(lambda: False)

    faults = Faults(kills=20, spare=0, roles=("holder",), most=1)
    roles = [RoleSpec("holder", hold, prepare=take), RoleSpec("other", turn_until_told)]

    def run(limit_s):
        with Session(faults=faults, time_limit_s=limit_s) as session:
            return session.run_roles(roles)

    result = until_enough(run, lambda result: isinstance(result.of("holder#0"), Killed))

    # No thread wants the lock, so it is told at the end of the run and does not end it.
    assert [f.verdict for f in result.findings] == ["orphaned_lock"]
    assert result.findings[0].workers == ("holder#0",)
    assert isinstance(result.of("holder#0"), Killed)
    assert result.ended_by == "time limit"


def test_nothing_is_injected_before_all_is_ready():
    """The start takes long, the work no time: at this rate no worker would get through the start."""
    roles = [RoleSpec("quick", lambda _: None, prepare=lambda _: sum(range(3_000_000)))]
    with Session(faults=Faults(kills=100, spare=0), watch=False) as session:
        result = session.run_roles(roles)

    assert result.steps == 0
    assert len(result.outcomes) == 1  # and not WorkerFailed


def test_a_death_that_the_next_one_repairs_is_noticed_and_ends_no_run():
    def take(context):
        context.arena.mutex("precious").acquire()

    def hold(_context):
        spin_until(lambda: False)

    def repair(context):
        with context.arena.mutex("precious").repaired_by(lambda _: None) as repaired:
            assert repaired
        turn_until_told(context)

    faults = Faults(kills=20, spare=0, roles=("holder",), most=1)
    roles = [RoleSpec("holder", hold, prepare=take), RoleSpec("next", repair)]

    def run(limit_s):
        with Session(faults=faults, time_limit_s=limit_s) as session:
            return session.run_roles(roles)

    result = until_enough(run, lambda result: isinstance(result.of("holder#0"), Killed))

    assert [f.verdict for f in result.findings] == []
    (notice,) = result.notices
    assert notice.verdict == "orphaned_lock"
    assert set(notice.workers) == {"holder#0", "next#0"}
    assert isinstance(result.of("next#0"), Passed)
    assert result.ok
    assert result.ended_by == "time limit"
