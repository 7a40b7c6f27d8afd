"""Death and interruption, with the front as a program of its own: nothing is left, nothing is lost."""

import os
import signal

import pytest

from tests.harness.run.conftest import wait_for


def test_a_killed_supervisor_is_reported_and_leaves_nothing(front):
    program = front("work")
    pids = program.pids()

    os.kill(pids["supervisor"], signal.SIGKILL)

    code, out, err = program.end()
    assert code == 3
    assert out.startswith(
        "SupervisorDied: the supervisor of the run died: killed by SIGKILL; all its workers are"
    )
    assert err == ""
    assert program.alive() == []


def test_an_audit_whose_supervisor_was_killed_ends_in_silence(front):
    program = front("orphaned_audit")

    code, out, err = program.end()
    assert (code, err) == (3, "")
    assert out.startswith("SupervisorDied: ")
    program.wait_until_nothing_is_left()


def test_a_killed_front_leaves_nothing(front):
    program = front("work")
    pids = program.pids()
    assert set(pids.values()) <= set(program.alive())

    program.signal(signal.SIGKILL)

    program.end()
    program.wait_until_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("scene", ["work", "thread_mode"])
def test_an_interrupted_front_gets_a_partial_result(front, scene, number):
    program = front(scene)
    program.pids()

    program.signal(number)

    code, out, err = program.end()
    assert out.splitlines()[0] == "ended_by=interrupt interrupted=True outcomes=Passed,Passed,Passed"
    assert out.splitlines()[1] == "findings=[] steps=True"
    assert (code, err) == (0, "")
    assert program.alive() == []


def test_an_interrupt_of_the_whole_terminal_is_the_same(front):
    program = front("work")
    program.pids()

    os.killpg(program.process.pid, signal.SIGINT)

    code, out, err = program.end()
    assert out.splitlines()[0] == "ended_by=interrupt interrupted=True outcomes=Passed,Passed,Passed"
    assert (code, err) == (0, "")
    assert program.alive() == []


def test_workers_that_do_not_listen_are_ended_after_the_grace(front):
    program = front("deaf")
    program.pids()

    program.signal(signal.SIGINT)

    code, out, _ = program.end()
    assert out.splitlines()[0] == "ended_by=interrupt interrupted=True outcomes=Killed,Killed"
    assert code == 0
    assert program.alive() == []


def test_the_second_interrupt_does_not_wait(front):
    program = front("very_deaf")
    pids = program.pids()
    program.signal(signal.SIGINT)
    wait_for("the supervisor ends the run", lambda: ending(program, pids))

    program.signal(signal.SIGINT)

    code, out, _ = program.end()
    assert (code, out.strip()) == (130, "KeyboardInterrupt")
    assert program.alive() == []


def ending(program, pids) -> bool:
    from harness.run.barrier import Barrier, State
    from harness.shm import Arena

    with Arena.attach(pid=program.process.pid) as arena:
        return bool(Barrier(arena).gate.state == State.ENDING)


def test_an_interrupt_hurries_what_a_time_limit_began(front):
    program = front("patient")
    assert program.line() == "auditing"

    program.signal(signal.SIGINT)

    code, out, _ = program.end()
    assert out.splitlines()[0] == "ended_by=interrupt interrupted=True outcomes=Passed"
    assert code == 0


def test_sigterm_to_the_supervisor_ends_the_run_in_order(front):
    program = front("work")
    pids = program.pids()

    os.kill(pids["supervisor"], signal.SIGTERM)

    code, out, _ = program.end()
    assert out.splitlines()[0] == "ended_by=interrupt interrupted=True outcomes=Passed,Passed,Passed"
    assert code == 0


def test_a_front_that_was_stopped_goes_on(front):
    program = front("work")
    program.pids()

    program.signal(signal.SIGSTOP)
    program.signal(signal.SIGCONT)
    program.signal(signal.SIGINT)

    code, out, _ = program.end()
    assert out.startswith("ended_by=interrupt")
    assert code == 0


def test_a_killed_worker_is_a_crash_and_ends_the_run(front):
    program = front("work")
    pids = program.pids()

    os.kill(pids["w1"], signal.SIGKILL)

    code, out, _ = program.end()
    assert out.splitlines()[0].startswith("ended_by=finding")
    assert "Crashed" in out.splitlines()[0]
    assert out.splitlines()[1].startswith("findings=['crash'")
    assert code == 0
    assert program.alive() == []


def test_one_thread_means_fork_and_more_mean_spawn(front):
    program = front("start_method")

    code, out, err = program.end()
    assert out.splitlines() == ["spawned=False answer=[42]", "spawned=True answer=[42]"]
    assert (code, err) == (0, "")
    program.wait_until_nothing_is_left()


def test_what_a_worker_left_behind_is_ended(front):
    program = front("grandchild")

    code, out, _ = program.end()
    assert out.strip() == "incidents=1 ok=True"
    assert code == 0
    assert program.alive() == []
