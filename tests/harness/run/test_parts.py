"""The parts that need no process: wires, clocks, records, and what counts as one finding."""

import os
import pickle
import signal

import msgspec
import multiprocess
import pytest

from harness.clock import Clock, Deadline, ManualClock, WatchedClock
from harness.outcome import Failed, Finding, Outcome, Passed, Payload, RunResult
from harness.run import STOP_ON, derive_seed, process_control, supervisor
from harness.run.findings import AFTERMATH_S, CONFIRM_S, Candidate, FindingStore
from harness.run.messages import PeerGone, Wire, pack
from harness.run.plan import RoleSpec, RunPlan
from tests.harness.run.roles import turn_until_told
from tests.waiting import LIMIT_S


@pytest.fixture
def wires():
    ours, theirs = multiprocess.get_context("spawn").Pipe()
    yield Wire(ours), Wire(theirs)
    ours.close()
    theirs.close()


def test_messages_arrive_whole_and_in_order(wires):
    ours, theirs = wires
    ours.send(("one", 1))
    ours.send(("two", b"x" * 10_000))

    assert theirs.wait(LIMIT_S) == ("one", 1)
    assert theirs.receive() == [("two", b"x" * 10_000)]
    assert theirs.receive() == []


def test_half_a_message_blocks_no_reader(wires):
    ours, theirs = wires
    frame = pack(("word", 5))
    os.write(ours.fd, frame[:7])
    assert theirs.receive() == []
    with pytest.raises(TimeoutError):
        theirs.wait(0.0)

    os.write(ours.fd, frame[7:])

    assert theirs.receive() == [("word", 5)]


def test_posting_to_a_peer_that_reads_nothing_returns(wires):
    ours, theirs = wires
    big = b"x" * 2_000_000

    ours.post(("big", big))

    assert ours.pending
    got: list[tuple[object, ...]] = []
    while not got:
        got = theirs.receive()
        ours.flush()
    assert got == [("big", big)]
    assert not ours.pending


def test_the_last_messages_of_a_dead_peer_are_read(wires):
    ours, theirs = wires
    ours.send(("last",))
    ours.close()

    assert theirs.receive() == [("last",)]
    assert theirs.ended
    with pytest.raises(PeerGone):
        theirs.wait()
    with pytest.raises(PeerGone):
        theirs.send(("a question",))
    theirs.post(("never mind",))
    assert not theirs.pending


def test_a_supervisor_without_a_front_leaves(arena):
    context = multiprocess.get_context("spawn")
    ours, theirs = context.Pipe()
    plan = RunPlan(arena=arena, roles=(RoleSpec("worker", turn_until_told),), epochs=None)
    import dill

    args = (os.getpid(), theirs, -1, dill.dumps(plan))
    process = context.Process(target=supervisor.main, args=args)
    process.start()
    theirs.close()
    wire = Wire(ours)
    assert wire.wait(LIMIT_S) == ("started",)

    ours.close()

    process.join(LIMIT_S)
    assert process.exitcode == 1
    # The sentinel is a pipe that every process below inherits: at its end they are all gone.
    from harness.run.client import readable

    assert readable([process.sentinel], LIMIT_S)
    process.close()


# --- clocks


def test_time_that_was_not_watched_does_not_count():
    clock = ManualClock(100.0)
    attended = WatchedClock(clock, attention_s=1.0)
    limit = Deadline(3.0, attended)
    for _ in range(4):
        clock.advance(0.5)
        attended.now()

    clock.advance(3600.0)

    assert limit.left() == pytest.approx(0.0)
    assert Deadline(3.0, attended).left() == 3.0
    assert attended.missed_s == pytest.approx(3599.0)


def test_a_deadline_passes_when_its_time_is_spent_and_not_before():
    clock = ManualClock()
    limit, never = Deadline(2.0, clock), Deadline(None, clock)
    clock.advance(1.5)
    assert not limit.passed()
    assert limit.left() == pytest.approx(0.5)

    clock.advance(0.5)

    assert limit.passed()
    assert limit.spent() == 2.0
    assert not never.passed()


def test_clocks_do_not_go_back():
    assert Clock().now() <= Clock().now()
    with pytest.raises(ValueError, match="back"):
        ManualClock().advance(-1)


# --- records


def test_a_result_survives_json_and_pickle():
    failed = Failed(worker="a#0", role="a", error="E", text="t", traceback="")
    outcomes = (Passed(worker="a#1", role="a", steps=3), failed)
    result = RunResult(
        outcomes=outcomes, payloads=(Payload(worker="a#1", value=[1]), Payload(worker="b#0", value=2))
    )

    text = msgspec.json.encode(result)

    assert msgspec.json.decode(text, type=RunResult) == result == pickle.loads(pickle.dumps(result))
    assert msgspec.convert(msgspec.to_builtins(failed), Outcome) == failed
    assert result.of("a#0") == failed
    assert (result.values("a"), result.values()) == ([[1]], [[1], 2])
    assert (result.exit_code, result.ok) == (0, True)
    with pytest.raises(AttributeError):
        result.seed = 1  # type: ignore[misc]


def test_seeds_are_the_same_everywhere():
    assert derive_seed(1, "worker#0") == 8361957373016810835
    assert derive_seed(1, "worker#0") != derive_seed(1, "worker#1") != derive_seed(2, "worker#1")


def test_signals_wait_while_a_child_is_made():
    with process_control.signals_blocked():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    assert {signal.SIGINT, signal.SIGTERM} <= blocked
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])


# --- findings


def store(**changes):
    return FindingStore(**{"stop_on": STOP_ON, "linger_s": 3.0, **changes})


def found(verdict, *seats, dump="", summary="s"):
    return Finding(id=1, verdict=verdict, summary=summary, seats=seats, dump=dump)


def failure(verdict="panic", seat=4, at=1.0):
    return Candidate(verdict, seat, "worker#0", "it failed", at)


def test_an_exception_waits_for_the_dump_of_the_same():
    book = store()
    book.from_exception(failure(), watched=True)
    assert book.findings == []

    book.from_watchdog(found("panic", 4, dump="d.json"), 1.2)
    book.settle(100.0)

    assert [(f.verdict, f.dump) for f in book.findings] == [("panic", "d.json")]


def test_an_exception_that_the_watchdog_did_not_see_counts_after_a_while():
    book = store()
    book.from_exception(failure(at=1.0), watched=True)

    assert book.settle(1.0 + CONFIRM_S / 2) == []
    assert [f.verdict for f in book.settle(1.0 + CONFIRM_S)] == ["panic"]


def test_of_what_the_watchdog_has_not_seen_a_dump_is_made():
    asked = []

    def picture(*what, details):
        asked.append(what)
        return "mine.json"

    book = store(picture=picture)
    book.from_exception(failure(at=1.0), watched=True)
    book.from_exception(failure("wrong_data", 5), watched=True)
    book.from_watchdog(found("wrong_data", 5, dump="d.json"), 1.2)

    book.settle(1.0 + CONFIRM_S)

    assert asked == [("worker#0", 4, "panic", "it failed")]
    assert [(f.verdict, f.dump) for f in book.findings] == [("wrong_data", "d.json"), ("panic", "mine.json")]


def test_a_dump_that_comes_late_is_added():
    book = store()
    book.from_exception(failure(), watched=False)

    book.from_watchdog(found("panic", 4, dump="d.json"), 2.0)

    assert [(f.id, f.dump) for f in book.findings] == [(1, "d.json")]


def test_two_wrong_orders_of_one_worker_are_two_findings():
    book = store()

    book.from_watchdog(found("order_violation", 4, summary="a, b"), 1.0)
    book.from_watchdog(found("order_violation", 4, summary="c, d"), 1.0)
    book.from_watchdog(found("order_violation", 4, summary="c, d"), 2.0)

    assert [f.summary for f in book.findings] == ["a, b", "c, d"]


@pytest.mark.parametrize("verdict", sorted(STOP_ON))
def test_what_went_wrong_ends_the_run_at_once(verdict):
    book = store()

    book.from_watchdog(found(verdict, 1), 5.0)

    assert book.ends_run(5.0)


def test_what_did_not_happen_yet_leaves_a_little_time():
    book = store(linger_s=3.0)

    book.from_watchdog(found("order_violation", 1), 5.0)

    assert not book.ends_run(7.9)
    assert book.ends_run(8.0)
    assert not store(linger_s=None).ends_run(1e9)


def test_our_own_doing_is_no_finding_but_an_orphaned_lock_is():
    book = store()
    book.note_injected(1, "stopped", until=10.0)
    book.note_injected(2, "killed", until=10.0)

    for verdict, seat in [("frozen", 1), ("crash", 2), ("orphaned_lock", 2), ("deadlock", 1)]:
        book.from_watchdog(found(verdict, seat), 11.0)
    book.from_watchdog(found("frozen", 1, summary="much later"), 10.0 + AFTERMATH_S)

    assert [f.verdict for f in book.findings] == ["orphaned_lock", "deadlock", "frozen"]
    assert len(book.incidents) == 2


def test_the_dump_of_what_is_not_counted_is_taken_away(tmp_path):
    book = store()
    book.note_injected(1, "stopped", until=10.0)
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    for file in (ours, theirs):
        file.write_text("{}")

    book.from_watchdog(found("frozen", 1, dump=str(ours)), 5.0)
    book.from_watchdog(found("deadlock", 1, dump=str(theirs)), 5.0)

    assert not ours.exists()
    assert theirs.exists()


def test_findings_name_workers_and_the_command():
    book = store(reproduce="hangdog run", name_of=lambda seat: {1: "a#0"}.get(seat, ""))

    book.from_watchdog(found("deadlock", 1, 9), 2.5)

    assert (book.findings[0].workers, book.findings[0].reproduce) == (("a#0",), "hangdog run")
    assert book.findings[0].at_s == 2.5


def test_how_a_thread_ended_is_added_once_whatever_the_sentence_says():
    book = store()
    told = msgspec.structs.replace(found("orphaned_lock", 4), ends={4: "killed by SIGKILL"})
    book.from_watchdog(told, 1.0)

    book.ended(4, "killed by SIGKILL")
    assert [one.summary for one in book.findings] == ["s"]
    for _ in range(2):
        book.ended(4, "killed by fault injection")

    assert [one.summary for one in book.findings] == ["s (seat 4: killed by fault injection)"]
