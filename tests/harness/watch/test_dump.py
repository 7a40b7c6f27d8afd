"""A dump survives its file, its readers, and everything that goes wrong around it."""

import os
import resource
import signal
from pathlib import Path

import msgspec
import pytest

from harness import _native
from harness.errors import BadInput
from harness.watch import dump
from harness.watch.dump import DumpError
from harness.watch.records import Dump, RunMeta
from harness.watch.render import sections as renderers
from harness.watch.render.text import render
from harness.watch.watchdog import Watchdog
from tests.harness.actors import fork
from tests.harness.watch.looking import at_the_end, built, dumped, me
from tests.harness.watch.specimen import COMMAND, specimen
from tests.waiting import reap


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

    with path.open("rb") as opened:  # by a reader, while it is replaced
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
    folder = Path("/proc/self")  # no user may make a file there, not even root

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
        found = at_the_end(Watchdog(arena, tmp_path, RunMeta(reproduce=COMMAND)), "orphaned_lock")
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


def test_a_renderer_replaces_one_of_its_name_and_can_be_removed(arena, sections):
    sections.register("world", lambda *_: ["old"])
    sections.register("world", lambda *_: ["new"])
    assert built(arena).sections == {"world": ["new"]}

    sections.unregister("world")

    assert built(arena).sections == {}


def test_a_dump_of_a_dead_holder_has_process_lock_place_and_versions(arena, actors, tmp_path):
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
    reap(pid)
    os.close(reached)
    os.close(say)

    told = dumped(at_the_end(Watchdog(arena, tmp_path, RunMeta(seed=5)), "orphaned_lock"))

    victim = next(seat for seat in told.threads if seat.role == "victim")
    assert (victim.pid, victim.dead, victim.held[0].lock) == (pid, True, "precious[0]")
    assert "test_dump.py:" in victim.held[0].site
    assert pid not in [fact.pid for fact in told.processes], "of a dead process the system says nothing"
    assert {"hangdog", "python", "kernel"} <= set(told.versions)
    assert (told.seed, told.arena, told.schema) == (5, "test", "hangdog.dump/1")


def test_a_dump_that_cannot_be_made_whole_still_tells_the_verdict(arena, watchdog, monkeypatch):
    def broken(*_):
        raise RuntimeError("no process facts today")

    monkeypatch.setattr("harness.locks.order.edges", broken)
    arena.native.report(_native.CONSTANTS["REPORT_PANIC"], "gave up")

    (finding,) = watchdog.scan()

    assert finding.verdict == "panic"
    written = dump.read(Path(finding.dump))
    assert any("no process facts today" in note for note in written.notes)
