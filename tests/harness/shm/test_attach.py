"""Attaching to an arena, and what is refused instead."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import dill
import pytest

from harness import _native
from harness.errors import BadInput, NoAccess, NotAnArena, StaleArena
from harness.shm import Arena, native
from tests.harness.actors import fork
from tests.harness.shm.records import Plain
from tests.harness.shm.test_arena import open_descriptors
from tests.waiting import reap

HEADER = _native.LAYOUT["hd_arena"][0]


def field(name: str) -> slice:
    at = getattr(native.Header, name)
    return slice(at.offset, at.offset + at.size)


@pytest.fixture
def file_arena(tmp_path):
    """An arena in a file that this process has forgotten: its path."""
    with Arena.create("filed", size=4096, seats=2, path=tmp_path / "arena") as it:
        it.table("things", Plain, 3)[1].value = 42
    return tmp_path / "arena"


def test_an_arena_file_outlives_its_maker(file_arena):
    with Arena.attach(path=file_arena) as again:
        assert again.name == "filed"
        assert again.table("things", Plain, 3)[1].value == 42


def test_attaching_twice_in_one_process_gives_one_mapping(arena):
    assert Arena.attach(fd=arena.fd) is arena
    assert Arena.attach(pid=os.getpid()) is arena
    assert Arena.attach(path=f"/proc/self/fd/{arena.fd}") is arena


def test_a_copied_file_is_not_taken_for_its_original(file_arena, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(file_arena.read_bytes())

    with Arena.attach(path=file_arena) as one, Arena.attach(path=copy) as other:
        other.table("things", Plain)[1].value = 7

        assert one.table("things", Plain)[1].value == 42


def test_an_unrelated_process_of_the_same_user_attaches_by_pid(arena):
    arena.table("things", Plain, 3)[2].value = 0xFEED
    program = (
        "import sys\n"
        "from harness.shm import Arena\n"
        "from tests.harness.shm.records import Plain\n"
        "arena = Arena.attach(pid=int(sys.argv[1]))\n"
        "print(arena.name, arena.table('things', Plain)[2].value)\n"
        "arena.table('things', Plain)[3].value = 5\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, str(os.getpid())],
        check=True, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[3],
    ).stdout  # fmt: skip

    assert said == f"test {0xFEED}\n"
    assert arena.table("things", Plain)[3].value == 5


def test_a_child_of_fork_has_its_parents_mapping(arena, actors):
    table = arena.table("things", Plain, 3)

    def child(me):
        again = Arena.attach(fd=arena.fd)
        assert again is arena
        assert again.table("things", Plain, 3) is table
        again.table("things", Plain, 3)[1].value = 9

    actors.actor(child).end()

    assert table[1].value == 9


@pytest.mark.parametrize("module", [pickle, dill])
def test_a_pickled_arena_becomes_the_one_of_the_process(arena, module):
    assert module.loads(module.dumps(arena)) is arena


def test_a_pickled_arena_reaches_a_process_that_did_not_inherit_it(arena):
    arena.table("things", Plain, 3)[2].value = 11
    program = (
        "import pickle, sys\n"
        "arena, table = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "assert table.arena is arena\n"
        "print(arena.name, table[2].value)\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, pickle.dumps((arena, arena.table("things", Plain))).hex()],
        check=True, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[3],
    ).stdout  # fmt: skip

    assert said == "test 11\n"


def test_all_arenas_of_this_user_are_found(arena):
    assert os.getpid() in [pid for pid, _ in Arena.find_arenas()]


# --- refusing


@pytest.mark.parametrize(
    ("where", "becomes", "error", "said"),
    [
        (field("magic"), b"HANGDOG\1", NotAnArena, "begins with"),
        (field("version"), b"\x63\0\0\0", StaleArena, "has version 0x63, this build expects"),
        (field("fingerprint"), b"\1" * 8, StaleArena, "has layout 0x101010101010101"),
        (field("size"), b"\0" * 8, NotAnArena, "its header says 0 bytes"),
        (field("seat_count"), b"\xff" * 4, NotAnArena, "its tables do not lie inside"),
        (field("directory"), b"\xff" * 8, NotAnArena, "its tables do not lie inside"),
        (field("seats"), b"\0" * 8, NotAnArena, "its tables do not lie inside"),
        (field("directory_count"), b"\xff" * 4, NotAnArena, "its directory has 4294967295 entries"),
        (field("heap_next"), b"\xff" * 8, NotAnArena, "its directory"),
    ],
    ids=["magic", "version", "fingerprint", "size", "seat_count", "directory", "seats", "count", "heap"],
)
def test_a_damaged_header_is_refused(file_arena, where, becomes, error, said):
    content = bytearray(file_arena.read_bytes())
    content[where] = becomes
    file_arena.write_bytes(content)
    before = open_descriptors()

    with pytest.raises(error, match=said):
        Arena.attach(path=file_arena)

    assert open_descriptors() == before


def test_an_entry_that_leads_outside_is_refused(file_arena):
    content = bytearray(file_arena.read_bytes())
    header = native.Header.from_buffer(content)
    entry = native.Entry.from_buffer(content, header.directory + 80)
    assert entry.name == b"things"
    entry.count = 1 << 40
    file_arena.write_bytes(content)

    with pytest.raises(NotAnArena, match="entry 'things' lies outside"):
        Arena.attach(path=file_arena)


@pytest.mark.parametrize("length", [0, HEADER - 1, HEADER, 100_000])
def test_a_truncated_file_is_refused(file_arena, length):
    os.truncate(file_arena, length)

    with pytest.raises(NotAnArena, match=f"{length} bytes|there are {length}"):
        Arena.attach(path=file_arena)


def test_what_is_no_file_at_all_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(NotAnArena, match="no file that could be mapped"):
        Arena.attach(path=tmp_path / "fifo")
    with pytest.raises(NoAccess, match="No such file"):
        Arena.attach(path=tmp_path / "none")
    with pytest.raises(NoAccess, match="No such"):
        Arena.attach(fd=987)
    with pytest.raises(NoAccess, match="a path has no NUL"):
        Arena.attach(path=f"{tmp_path}/nul\0")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_users_process_is_no_access(arena, actors):
    pid = os.getpid()

    def without_an_arena(me):
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(NoAccess, match=f"process {pid}: it belongs to another user"):
            Arena.attach(pid=pid)

    actors.actor(without_an_arena).end()


def test_a_process_without_an_arena_and_one_that_is_gone(actors):
    with pytest.raises(NotAnArena, match="it has no arena open"):
        Arena.attach(pid=os.getppid())
    gone = fork(lambda: None)
    reap(gone)

    with pytest.raises(NoAccess, match=f"process {gone}: there is no such process"):
        Arena.attach(pid=gone)


def test_attach_wants_to_know_exactly_one_place():
    with pytest.raises(BadInput, match="attach takes one of"):
        Arena.attach()
    with pytest.raises(BadInput, match="attach takes one of"):
        Arena.attach(pid=1, fd=2)


def test_of_several_arenas_of_a_process_the_newest_is_meant(arena):
    with Arena.create("newer", size=4096, seats=2) as newer:
        assert Arena.attach(pid=os.getpid()) is newer
