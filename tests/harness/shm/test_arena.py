import fcntl
import os
import pickle
import resource
import stat
import subprocess
import sys
from pathlib import Path

import dill
import pytest

from harness import _native
from harness.errors import ArenaError, BadInput, CannotRunHere, NoAccess, NotAnArena, StaleArena, TableFull
from harness.shm import Arena, native, segment
from harness.shm import arena as arena_module
from tests.harness.actors import fork
from tests.harness.shm.records import Guarded, Plain

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


# --- making


def test_a_memfd_arena_is_private_sealed_and_has_its_memory(arena):
    info = os.fstat(arena.fd)

    assert os.readlink(f"/proc/self/fd/{arena.fd}").startswith("/memfd:hangdog:test")
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_blocks * 512 >= arena.header.size
    seals = fcntl.fcntl(arena.fd, fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_SHRINK
    assert seals & fcntl.F_SEAL_GROW
    assert seals & fcntl.F_SEAL_SEAL
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 4096)


def test_the_descriptor_is_not_given_to_other_programs(arena):
    assert not os.get_inheritable(arena.fd)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 61, "nul\0"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(BadInput, match="must have 1 to 60 bytes"):
        Arena.create(name)


@pytest.mark.parametrize(("size", "seats"), [(-1, 1), (0, 0), (0, 4097)])
def test_impossible_sizes_are_refused(size, seats):
    with pytest.raises(BadInput, match=f"no arena of {size} bytes and {seats} seats"):
        Arena.create("x", size=size, seats=seats)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("place", ["memory", "file"])
def test_lack_of_memory_is_an_error_with_the_number_of_bytes_and_leaves_nothing(tmp_path, place):
    path = tmp_path / "arena" if place == "file" else None
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(CannotRunHere, match=r"no room for \d{8} bytes"):
            Arena.create("big", size=20_000_000, path=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert open_descriptors() == before
    assert list(tmp_path.iterdir()) == []


def test_a_failure_after_the_segment_was_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_native, "format", lambda *_: 1 / 0)
    before = open_descriptors()

    with pytest.raises(ZeroDivisionError):
        Arena.create("x", path=tmp_path / "arena")

    assert open_descriptors() == before
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_that_does_not_know_the_newest_flag_is_good_enough(monkeypatch):
    create = os.memfd_create

    def older(name, flags):
        if flags & segment._NOEXEC_SEAL:
            raise OSError(22, "Invalid argument")
        return create(name, flags)

    monkeypatch.setattr(os, "memfd_create", older)

    with Arena.create("old") as it:
        assert stat.S_IMODE(os.fstat(it.fd).st_mode) == 0o600


def test_a_kernel_without_memfd_cannot_run_this(monkeypatch):
    def none(_name, _flags):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", none)

    with pytest.raises(CannotRunHere, match="gives no memfd: Function not implemented"):
        Arena.create("x")


def test_an_existing_file_is_neither_used_nor_touched(tmp_path):
    path = tmp_path / "arena"
    path.write_text("precious")

    with pytest.raises(BadInput, match="exists already"):
        Arena.create("x", path=path)

    assert path.read_text() == "precious"


def test_a_place_where_no_file_can_be_made_is_named(tmp_path):
    with pytest.raises(BadInput, match=f"{tmp_path}/none/arena.*No such file"):
        Arena.create("x", path=tmp_path / "none" / "arena")


# --- attaching


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


def test_a_stranger_of_the_same_user_attaches_by_pid(arena):
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
        (field("version"), b"\x63\0\0\0", StaleArena, "layout"),
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


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_users_process_is_no_access(arena, actors):
    pid = os.getpid()

    def nobody(me):
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(NoAccess, match=f"process {pid}: it belongs to another user"):
            Arena.attach(pid=pid)

    actors.actor(nobody).end()


def test_a_process_without_an_arena_and_one_that_is_gone(actors):
    with pytest.raises(NotAnArena, match="it has no arena open"):
        Arena.attach(pid=os.getppid())
    gone = fork(lambda: None)
    os.waitpid(gone, 0)

    with pytest.raises(NoAccess, match=f"process {gone}: there is no such process"):
        Arena.attach(pid=gone)


def test_attach_wants_to_know_exactly_one_place():
    with pytest.raises(BadInput, match="attach takes one of"):
        Arena.attach()
    with pytest.raises(BadInput, match="attach takes one of"):
        Arena.attach(pid=1, fd=2)


# --- the directory


def test_a_table_of_another_layout_or_count_is_refused(arena):
    arena.table("things", Plain, 3)

    with pytest.raises(StaleArena, match="test:things"):
        arena.table("things", Guarded, 3)
    with pytest.raises(ArenaError, match="'things' of arena 'test' has 3 records, not 4"):
        arena.table("things", Plain, 4)


def test_a_table_that_nobody_made_cannot_be_opened(arena):
    with pytest.raises(ArenaError, match="arena 'test' has no table 'things'"):
        arena.table("things", Plain)


def test_a_heap_that_is_too_small_names_table_option_and_remedy(arena):
    with pytest.raises(TableFull, match=r"no room for table 'things': 100000000 .*--things") as caught:
        arena.table("things", Plain, 100_000_000, option="--things")

    assert caught.value.hint == "hangdog run --things 50000000"
    assert (caught.value.table, caught.value.option) == ("things", "--things")
    assert arena.table("things", Plain, 10)[10].value == 0


def test_the_directory_can_be_full(arena):
    with pytest.raises(TableFull, match="table 'directory' is full: all 128 records are in use"):
        for i in range(129):
            arena.reserve(f"area {i}", 8)

    assert arena.header.directory_count == 128
    assert arena.area("area 3")[1] == 8


def test_a_name_that_would_be_cut_is_refused(arena):
    with pytest.raises(BadInput, match="must have 1 to 47 bytes"):
        arena.reserve("x" * 48, 8)
    assert arena.area(arena_module._REGISTRY)
    arena.reserve("x" * 47, 8)

    assert arena.area("x" * 47)[1] == 8


def test_an_area_is_aligned_zeroed_and_found_again(arena):
    arena.reserve("odd", 3, 8)
    offset = arena.reserve("frames", 8192, 4096)

    assert offset % 4096 == 0
    assert arena.area("frames") == (offset, 8192)
    assert arena.reserve("frames", 8192, 4096) == offset
    assert bytes(arena.mapping[offset : offset + 8192]) == bytes(8192)
    with pytest.raises(ArenaError, match="area 'frames' of arena 'test' has 8192 bytes, not 1"):
        arena.reserve("frames", 1)
    with pytest.raises(ArenaError, match="has no area 'other'"):
        arena.area("other")


def test_processes_that_make_the_same_things_at_once_make_them_once(arena, actors):
    def maker(me):
        me.say("ready")
        me.hear("go")
        places = [arena.reserve(f"area {i}", 64) for i in range(20)]
        tables = [arena.table(f"table {i}", Plain, 5).offset for i in range(20)]
        locks = [arena.mutex(f"class {i}").offset for i in range(20)]
        me.say((places, tables, locks))

    makers = [actors.actor(maker) for _ in range(3)]
    for actor in makers:
        actor.expect("ready")
    for actor in makers:
        actor.tell("go")

    assert len({actor.listen() for actor in makers}) == 1
    assert arena.header.directory_count == 1 + 40
    for actor in makers:
        actor.end()


def test_a_maker_killed_half_way_does_not_stop_the_others(arena, actors):
    def maker(me):
        with arena.exclusive():
            me.say("inside")
            me.hear("never")

    dying = actors.actor(maker)
    dying.expect("inside")
    dying.kill()

    assert arena.reserve("area", 8) == arena.area("area")[0]
    with arena.exclusive(), arena.exclusive():
        pass


# --- closing


def test_closing_gives_the_descriptor_back_and_keeps_the_views(arena):
    table = arena.table("things", Plain, 3)
    fd = arena.fd

    arena.close()
    arena.close()

    assert arena.fd == -1
    assert not os.path.exists(f"/proc/self/fd/{fd}") or "hangdog:test" not in os.readlink(
        f"/proc/self/fd/{fd}"
    )
    table[1].value = 3
    assert table[1].value == 3
    with pytest.raises(ArenaError, match="arena 'test' is closed"):
        pickle.dumps(arena)


def test_an_arena_closed_under_a_holder_stays_mapped_for_ever(arena):
    lock = arena.mutex("held")
    with lock:
        arena.close()

        assert arena in arena_module._KEPT
    arena_module._KEPT.remove(arena)
