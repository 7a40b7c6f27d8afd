"""A dump survives its file, its readers, and everything that goes wrong around it."""

import contextlib
import os
import resource
import signal
import threading
from pathlib import Path

import msgspec
import pytest

from harness import _native
from harness.errors import BadInput
from harness.watch import dump, renderers, stacks
from harness.watch.dump import DumpError
from harness.watch.records import Dump, RunMeta, Suspicion
from harness.watch.render_text import render
from harness.watch.snapshot import Reader, take
from harness.watch.watchdog import Watchdog
from tests.harness.actors import fork, wait_until
from tests.harness.watch.looking import dumped, find, me, stopped, waiting
from tests.harness.watch.specimen import COMMAND, specimen


@pytest.fixture
def full():
    return specimen()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# --- the file


def test_a_dump_is_the_same_after_its_file(full, tmp_path):
    path = dump.write(tmp_path / "new" / "d.json", full)

    assert dump.read(path) == full
    assert files(path.parent) == ["d.json"], "the temporary file is gone"
    assert msgspec.json.decode(path.read_bytes())["schema"] == "hangdog.dump/1"


def test_a_second_dump_of_the_same_name_replaces_the_first_whole(full, tmp_path):
    path = dump.write(tmp_path / "d.json", full)
    short = msgspec.structs.replace(full, threads=[], cycle=[])

    with path.open("rb") as opened:  # by somebody who reads while it is replaced
        dump.write(path, short)
        seen = opened.read()

    assert msgspec.json.decode(seen, type=Dump) == full
    assert dump.read(path) == short
    assert files(tmp_path) == ["d.json"]


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_dump_is_refused_with_its_length(full, tmp_path, part):
    path = dump.write(tmp_path / "d.json", full)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(DumpError, match=rf"damaged \({int(len(whole) * part)} bytes\)") as caught:
        dump.read(path)

    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.hint.startswith("hangdog ")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b'"seats"', b"\xff\xfe").replace(b'"verdict"', b'"\xff"'),
        lambda text: text.replace(b'"threads"', b'"thread"'),  # a field is missing
        lambda text: text.replace(b'"seed": 7', b'"seed": "seven"'),
        lambda _: b"[1, 2]",
        lambda _: b"null",
        lambda _: os.urandom(512),
        lambda _: b"\x00" * 512,
    ],
    ids=["bytes", "field", "type", "list", "null", "noise", "zeros"],
)
def test_a_damaged_dump_is_refused(full, tmp_path, damage):
    path = dump.write(tmp_path / "d.json", full)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(DumpError, match="damaged"):
        dump.read(path)


@pytest.mark.parametrize("schema", ["hangdog.dump/2", "hangdog.run/1", None, 1])
def test_another_schema_is_refused_with_both_names(full, tmp_path, schema):
    path = dump.write(tmp_path / "d.json", full)
    other = msgspec.json.decode(path.read_bytes())
    other["schema"] = schema
    path.write_bytes(msgspec.json.encode(other))

    with pytest.raises(DumpError) as caught:
        dump.read(path)

    assert repr(schema) in str(caught.value)
    assert "'hangdog.dump/1'" in str(caught.value)


@pytest.mark.parametrize("name", ["none.json", "."])
def test_what_is_no_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(BadInput, match="cannot read dump") as caught:
        dump.read(tmp_path / name)

    assert str(tmp_path / name) in str(caught.value)


# --- where it cannot be written


def test_a_folder_that_cannot_be_one_is_an_error_with_path_and_reason(full, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DumpError, match=r"Not a directory|File exists") as caught:
        dump.write(tmp_path / "file" / "d.json", full)

    assert str(tmp_path / "file" / "d.json") in str(caught.value)
    assert files(tmp_path) == ["file"]


def test_a_folder_without_permission_is_an_error_with_path_and_reason(full, tmp_path):
    folder = Path("/proc/self")  # nobody may make a file there, not even root

    with pytest.raises(DumpError, match=r"cannot write dump '/proc/self/d\.json': ") as caught:
        dump.write(folder / "d.json", full)

    assert caught.value.hint.startswith("hangdog run")


def limited(actor_of, limit, body):
    """Run ``body`` in a process whose files may not grow beyond ``limit`` bytes, as on a full disk."""

    def run(actor):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the kernel kills instead of refusing
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        actor.say(body())

    actor = actor_of(run)
    said = actor.listen()
    actor.end()
    return said


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_full_disk_leaves_the_old_dump_and_no_temporary_file(full, tmp_path, actors, limit):
    path = dump.write(tmp_path / "d.json", full)
    other = msgspec.structs.replace(full, seed=8)

    def write():
        try:
            dump.write(path, other)
        except DumpError as error:
            return str(error)
        return "written"

    said = limited(actors.actor, limit, write)

    assert said == f"cannot write dump {str(path)!r}: File too large"
    assert dump.read(path) == full
    assert files(tmp_path) == ["d.json"]


def test_a_finding_whose_dump_found_no_room_brings_its_text(arena, actors, tmp_path):
    lock = arena.mutex("precious")

    def victim(actor):
        me(arena, "victim")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    actor = actors.actor(victim)
    actor.expect("holding")
    actor.kill()

    def watch():
        found = find(Watchdog(arena, tmp_path, RunMeta(reproduce=COMMAND)), "orphaned_lock")
        return [found.dump, found.text]

    said = limited(actors.actor, 0, watch)

    assert said.startswith("['', ")
    for word in ("precious[0]", "victim", "cannot write dump", "File too large", f"try: {COMMAND}"):
        assert word in said
    assert files(tmp_path) == []


# --- building it


@pytest.fixture
def sections():
    """Renderers of this test only."""
    before = dict(renderers._RENDERERS)
    renderers._RENDERERS.clear()
    yield renderers
    renderers._RENDERERS.clear()
    renderers._RENDERERS.update(before)


def built(arena, with_stacks=False, **facts):
    reader = Reader(arena)
    why = {"verdict": "stall", "key": "k", "seats": [], "why": "nothing moves"}
    return dump.build(reader, take(reader), Suspicion(**(why | facts)), RunMeta(), with_stacks)


def test_a_renderer_that_fails_costs_its_section_and_nothing_else(arena, tmp_path, sections):
    sections.register("good", lambda where, told: [f"{where.name}: {told.verdict}"])
    sections.register("bad", lambda *_: [1 // 0])

    told = built(arena)

    assert told.sections == {"good": ["test: stall"]}
    assert told.notes == [
        "section 'bad' could not be rendered: ZeroDivisionError: integer division or modulo by zero"
    ]
    assert dump.read(dump.write(tmp_path / "d.json", told)) == told
    assert "note: section 'bad'" in render(told)


def test_a_renderer_of_the_same_name_replaces_the_other_and_can_be_taken_away(arena, sections):
    sections.register("world", lambda *_: ["old"])
    sections.register("world", lambda *_: ["new"])
    assert built(arena).sections == {"world": ["new"]}

    sections.unregister("world")

    assert built(arena).sections == {}


def asleep(arena, actors):
    """A process that publishes its stack and sleeps on a channel for ever; (actor, seat, guard, channel)."""
    guard, bell = arena.mutex("guard"), arena.channel("bell")

    def sleep_in_here(actor):
        me(arena, "sleeper")
        stacks.enable(arena)
        guard.acquire()
        actor.say(arena.native.seat())
        bell.sleep(guard, "nap")
        actor.hear("never")

    actor = actors.actor(sleep_in_here)
    number = int(actor.listen())
    wait_until(waiting(arena, "sleeper"), "the sleeper")
    return actor, number, bell


def test_a_stack_is_that_of_the_thread_and_asking_for_it_moves_nobody(arena, actors):
    _, number, _ = asleep(arena, actors)

    told = built(arena, with_stacks=True, seats=[number])

    sleeper = next(seat for seat in told.threads if seat.number == number)
    assert any("sleep_in_here" in frame for frame in sleeper.stack)
    assert told.notes == []


def test_threads_that_begin_at_once_share_one_file(arena, actors, monkeypatch):
    """The first one's would be closed again when the second took its place, and it could never be asked."""
    made = os.memfd_create

    def begin_together(actor):
        opened, both = [], threading.Barrier(2)

        def slow(*given):
            opened.append(made(*given))
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(1.0)  # the other is at the same place, if nothing keeps it away
            return opened[-1]

        def thread():
            me(arena, "beginner")
            stacks.enable(arena)
            arena.native.leave()

        monkeypatch.setattr(os, "memfd_create", slow)
        threads = [threading.Thread(target=thread) for _ in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        actor.say(len(opened))

    actors.actor(begin_together).expect("1")


def churn(depth=40):
    """Frames come and go all the time."""
    while depth:
        churn(depth - 1)
        depth -= 1


def test_a_thread_that_runs_is_asked_for_its_stack_again_and_again_and_lives(arena, actors):
    """Nobody else may walk its frames, as they change under him: that killed one process in three."""

    def two_threads(actor):
        me(arena, "runner")
        stacks.enable(arena)
        runner = threading.Thread(target=churn, daemon=True)
        runner.start()
        actor.say(f"{runner.native_id} {Reader(arena).seats[arena.native.seat() - 1].stack_fd}")
        actor.hear("enough")

    actor = actors.actor(two_threads)
    tid, fd = map(int, actor.listen().split())

    of_runner = [stacks.capture(actor.pid, tid, fd) for _ in range(50)]
    of_main = stacks.capture(actor.pid, actor.pid, fd)

    assert any("two_threads" in frame for frame in of_main)
    assert sum("churn" in frames[0] for frames in of_runner if frames) > 40
    assert [frames for frames in of_runner if any("two_threads" in frame for frame in frames)] == []


def test_a_waiter_that_goes_on_while_its_stack_is_taken_is_noted_as_cured(arena, actors, monkeypatch):
    _, number, bell = asleep(arena, actors)
    capture = stacks.capture

    def cure(*who):
        found = capture(*who)
        bell.wakeup()
        row = Reader(arena).seats[number - 1]
        wait_until(lambda: not row.activity, "its waking up")
        return found

    monkeypatch.setattr(stacks, "capture", cure)

    told = built(arena, with_stacks=True, seats=[number])

    assert told.notes == [f"cured_by_probe: seat {number} went on after its stack was taken"]


def test_a_stopped_process_is_not_asked_for_its_stack(arena, actors, monkeypatch):
    actor, number, _ = asleep(arena, actors)
    os.kill(actor.pid, signal.SIGSTOP)
    wait_until(stopped(actor.pid), "the stop")
    asked = []

    def ask(*who):
        asked.append(who)
        return []

    monkeypatch.setattr(stacks, "capture", ask)

    told = built(arena, with_stacks=True, seats=[number])
    os.kill(actor.pid, signal.SIGCONT)

    assert asked == [], "it would answer when it goes on, to nobody"
    assert next(seat for seat in told.threads if seat.number == number).stack == []


def test_a_process_without_that_descriptor_has_no_stack(arena, actors):
    actor, _, _ = asleep(arena, actors)

    assert stacks.capture(actor.pid, actor.pid, 10_000) == []


def test_a_dump_of_a_lock_with_a_dead_holder_tells_process_lock_place_and_versions(arena, actors, tmp_path):
    lock = arena.mutex("precious")
    reached, say = os.pipe()

    def die():
        me(arena, "victim")
        lock.acquire()
        os.write(say, b"x")
        signal.pause()

    pid = fork(die)
    os.read(reached, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reached)
    os.close(say)

    told = dumped(find(Watchdog(arena, tmp_path, RunMeta(seed=5, extra={"more": "1"})), "orphaned_lock"))

    victim = next(seat for seat in told.threads if seat.role == "victim")
    assert (victim.pid, victim.dead, victim.held[0].lock) == (pid, True, "precious[0]")
    assert "test_dump.py:" in victim.held[0].site
    assert pid not in [fact.pid for fact in told.processes], "of a dead process the system says nothing"
    assert {"hangdog", "python", "kernel", "more"} <= set(told.versions)
    assert (told.seed, told.arena, told.schema) == (5, "test", "hangdog.dump/1")


def test_a_dump_that_cannot_be_made_whole_still_tells_the_verdict(arena, watchdog, monkeypatch):
    def broken(*_):
        raise RuntimeError("no process facts today")

    monkeypatch.setattr(dump, "_order", broken)
    arena.native.report(_native.CONSTANTS["REPORT_PANIC"], "gave up")

    (finding,) = watchdog.scan()

    assert finding.verdict == "panic"
    written = dump.read(Path(finding.dump))
    assert any("no process facts today" in note for note in written.notes)
