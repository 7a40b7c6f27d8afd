"""Between epochs nothing moves and no lock is held, and a worker that will not come is not waited for."""

import os
import signal
from ctypes import c_uint64
from typing import Any

import pytest

from harness import _native
from harness.outcome import Failed, Killed, Passed
from harness.run import RoleSpec, Session
from harness.run.barrier import Barrier, Row
from harness.shm.roster import Roster
from tests.harness.run.roles import children_of, rows, spin_until, until_enough
from tests.waiting import wait_until

ON: Any = {"stop_on": (), "linger_s": None}


def counters(arena):
    return (c_uint64 * 8).from_buffer(arena.mapping, arena.reserve("counters", 64))


def count(context, turns):
    mine = counters(context.arena)
    for _ in range(turns):
        with context.step("count"):
            mine[context.index] += 1


def serve(context):
    mine = counters(context.arena)
    while context.park():
        mine[7] += 1


def is_still(context):
    """Look again and again at the same moment; a thread that ran would be seen."""
    seen = {tuple(counters(context.arena)) for _ in range(20_000)}
    others = [row for row in Roster(context.arena).rows() if row.number != context.seat]
    quiet = {(row.activity, row.depth) for row in others if "#" in row.role}
    return len(seen), quiet, seen.pop()[:2]


@pytest.mark.parametrize("audit_in", ["child", "worker"])
@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_audit_sees_all_parked_and_nothing_moves(mode, audit_in):
    with Session(workers=2, mode=mode) as session:
        counters(session.arena)
        service = RoleSpec("server", serve, service=True)
        result = session.run(count, 500, epochs=3, audit=is_still, audit_in=audit_in, services=[service])

    assert result.findings == ()
    assert [sorted(quiet) for _, quiet, _ in result.audits] == [[("parked", 0)]] * 3
    assert [moved for moved, _, _ in result.audits] == [1, 1, 1]
    assert [counted for *_, counted in result.audits] == [(500, 500), (1000, 1000), (1500, 1500)]
    assert (result.epochs, result.steps) == (3, 3000)


def test_without_a_gate_the_same_look_sees_movement():
    """The test above would notice: this is what its look says of a service that runs on."""

    def look(context):
        wait_until(lambda: is_still(context)[0] > 1, "a look that sees the server move")

    with Session() as session:
        counters(session.arena)
        roles = [RoleSpec("looker", look), RoleSpec("server", serve, service=True)]
        result = session.run_roles(roles)

    assert isinstance(result.of("looker#0"), Passed)


def test_an_audit_is_a_process_of_its_own_or_the_first_worker():
    def audit(context):
        return os.getpid()

    with Session(workers=2) as session:
        apart = session.run(count, 1, audit=audit)
        inside = session.run(count, 1, audit=audit, audit_in="worker")

    assert apart.audits[0] not in [outcome.pid for outcome in apart.outcomes]
    assert inside.audits[0] == inside.of("worker#0").pid


def test_what_was_asked_before_the_gate_is_done_before_the_audit():
    """The service looks idle while the wakeup is on its way: the audit must still wait for it."""

    def ask(context):
        arena, jobs = context.arena, counters(context.arena)
        with arena.mutex("guard"):
            jobs[0] += 1
        arena.channel("jobs").wakeup()

    def work(context):
        arena, jobs = context.arena, counters(context.arena)
        lock = arena.mutex("guard")
        while not jobs[2]:
            lock.acquire()
            if jobs[1] < jobs[0]:
                jobs[1] += 1
                lock.release()
            else:
                arena.channel("jobs").sleep(lock, "no work", idle=True)

    with Session(workers=1) as session:
        arena = session.arena
        counters(arena), arena.channel("jobs"), arena.mutex("guard")
        services = [RoleSpec("server", work, service=True, stop=lambda: finish(arena))]
        result = session.run(ask, epochs=40, audit=lambda c: tuple(counters(c.arena)[:2]), services=services)

    assert result.audits == tuple((n, n) for n in range(1, 41))
    assert isinstance(result.of("server#0"), Passed)


def finish(arena):
    counters(arena)[2] = 1
    arena.channel("jobs").wakeup()


def test_a_service_that_was_woken_and_did_not_run_yet_does_not_rest():
    def idle(context):
        lock = context.arena.mutex("guard")
        lock.acquire()
        context.arena.channel("jobs").sleep(lock, "no work", idle=True)

    def look(context):
        gate, server = Barrier(context.arena), rows(context)[1]
        spin_until(lambda: gate.quiet(1) is not None)
        os.kill(server.pid, signal.SIGSTOP)
        before = gate.quiet(1) is not None
        context.arena.channel("jobs").wakeup()
        context.send((before, gate.quiet(1)))
        os.kill(server.pid, signal.SIGCONT)

    with Session(watch=False) as session:
        session.arena.mutex("guard"), session.arena.channel("jobs")
        result = session.run_roles([RoleSpec("looker", look), RoleSpec("server", idle, service=True)])

    assert result.values("looker") == [(True, None)]


def test_a_resumed_service_that_did_not_run_yet_does_not_rest():
    """It looks parked either way: only the supervisor's word makes the difference."""

    def look(context):
        gate = Barrier(context.arena)
        context.arena.native.set_activity(_native.CONSTANTS["PARKED"])
        context.send((gate.quiet(0, parked=True) is not None, gate.quiet(0, parked=False)))

    with Session(workers=1, watch=False) as session:
        result = session.run(look)

    assert result.values() == [(True, None)]


def test_a_worker_killed_on_its_way_is_not_waited_for():
    def role(context):
        if context.index == 1 and context.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        count(context, 1)

    with Session(workers=3, **ON) as session:
        counters(session.arena)
        result = session.run(role, epochs=3, audit=lambda c: tuple(counters(c.arena)[:3]))

    assert result.epochs == 3
    assert result.audits == ((1, 1, 1), (2, 1, 2), (3, 1, 3))
    assert [f.verdict for f in result.findings] == ["crash"]


def test_a_worker_killed_while_it_is_parked_is_not_waited_for():
    def role(context):
        if context.index == 1 and context.epoch == 0:
            other = rows(context)[0]
            spin_until(lambda: other.state == Row.PARKED)
            os.kill(other.pid, signal.SIGKILL)

    with Session(workers=3, **ON) as session:
        result = session.run(role, epochs=2, audit=lambda context: context.epoch)

    assert (result.epochs, result.audits) == (2, (0, 1))
    assert [type(outcome).__name__ for outcome in result.outcomes] == ["Crashed", "Passed", "Passed"]


def test_a_lock_taken_to_the_gate_is_a_finding():
    def role(context):
        context.arena.mutex("kept", context.index).acquire()

    with Session(workers=1) as session:
        result = session.run(role)

    assert "contract_violation" in [f.verdict for f in result.findings]
    outcome = result.of("worker#0")
    assert isinstance(outcome, Failed)
    assert outcome.error == "ContractViolation"


class Unequal(Exception):
    verdict = "invariant_violation"


@pytest.mark.parametrize("audit_in", ["child", "worker"])
def test_an_audit_that_raises_is_a_finding_of_its_verdict_and_ends_the_run(audit_in):
    def audit(context):
        if context.epoch == 1:
            raise Unequal("2 is not 3")

    with Session(workers=2) as session:
        result = session.run(lambda _: None, epochs=None, audit=audit, audit_in=audit_in)

    assert [f.verdict for f in result.findings] == ["invariant_violation"]
    assert "2 is not 3" in result.findings[0].summary
    assert result.ended_by == "finding"
    assert [type(outcome) for outcome in result.outcomes] == [Passed, Passed]


def test_an_audit_that_is_killed_is_a_finding():
    def audit(context):
        os.kill(os.getpid(), signal.SIGKILL)

    with Session(workers=2) as session:
        result = session.run(lambda _: None, audit=audit)

    assert [f.summary for f in result.findings] == ["worker audit#0 died: killed by SIGKILL"]
    assert [type(outcome) for outcome in result.outcomes] == [Passed, Passed]


def test_a_hanging_audit_is_ended_by_the_time_limit():
    def run(limit_s):
        with Session(workers=2, time_limit_s=limit_s, grace_s=0.2) as session:
            return session.run(lambda _: None, audit=lambda _: spin_until(lambda: False))

    result = until_enough(run, lambda result: result.findings)

    assert result.ended_by == "time limit"
    assert [(f.verdict, f.workers) for f in result.findings] == [("hung", ("audit#0",))]
    assert result.exit_code == 1
    assert result.incidents == ("audit#0 did not come to an end and was killed",)
    assert [type(outcome) for outcome in result.outcomes] == [Passed, Passed]


def test_a_role_may_lead_its_epochs_itself():
    def role(context):
        seen = [context.epoch]
        while context.next_epoch():
            seen.append(context.epoch)
        context.send(seen)

    with Session(workers=2) as session:
        result = session.run(role, epochs=3)

    assert result.values() == [[0, 1, 2]] * 2
    assert result.epochs == 3


def test_a_service_that_never_rests_costs_the_audit_not_the_run():
    def restless(context):
        while not context.should_stop():
            pass

    with Session(workers=1, time_limit_s=0.3) as session:
        service = RoleSpec("server", restless, service=True)
        result = session.run(lambda _: None, audit=is_still, services=[service])

    assert (result.audits, result.ended_by) == ((), "time limit")
    assert not any(isinstance(outcome, Killed) for outcome in result.outcomes)


def test_an_audit_leaves_no_process_behind():
    def audit(context):
        return children_of(os.getppid())

    with Session(workers=1, watch=False) as session:
        result = session.run(lambda _: None, epochs=3, audit=audit)

    assert [len(pids) for pids in result.audits] == [2, 2, 2]


def test_mixed_noise_changes_from_epoch_to_epoch():
    def kind(context):
        header = context.arena.header
        return (
            bool(header.noise_chance[0]),
            bool(header.noise_turn),
            bool(context.arena.native.mode & _native.CONSTANTS["NOISE"]),
        )

    with Session(workers=1, noise="mixed", watch=False) as session:
        result = session.run(lambda _: None, epochs=4, audit=kind)

    none, placed, turns = (False, False, False), (True, False, True), (True, True, True)
    assert list(result.audits) == [none, placed, turns, none]
