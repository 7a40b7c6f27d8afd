"""Making an arena, what lies in it, and closing it."""

import fcntl
import gc
import mmap
import os
import pickle
import resource
import secrets
import stat
from pathlib import Path

import pytest

from harness import _native
from harness.errors import ArenaError, BadInput, CannotRunHere, StaleArena, TableFull
from harness.run import RoleSpec
from harness.shm import Arena, segment
from harness.shm import arena as arena_module
from tests.harness.shm.records import Guarded, Plain

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


BAD_NAMES = {
    "empty": ("", "has 0 bytes: it must have 1 to"),
    "long": ("x" * 61, "has 61 bytes: it must have 1 to"),
    "long in UTF-8": ("\N{SNOWMAN}" * 21, "has 63 bytes: it must have 1 to"),
    "NUL": ("cut\0here", "has a NUL"),
    "surrogate": ("\udcff", "is no UTF-8"),
}
NAMED = {
    "arena": lambda _, name: Arena.create(name),
    "area": lambda arena, name: arena.reserve(name, 8),
    "table": lambda arena, name: arena.table(name, Plain, 1),
    "mutex": lambda arena, name: arena.mutex(name),
    "mutex with options": lambda arena, name: arena.mutex(name, rank=3),
    "rwlock": lambda arena, name: arena.rwlock(name),
    "channel": lambda arena, name: arena.channel(name),
    "role": lambda _, name: RoleSpec(name, print),
}


@pytest.mark.parametrize("what", NAMED)
@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_name_that_would_not_come_back_as_it_was_given_is_refused(arena, what, bad):
    name, why = BAD_NAMES[bad]
    before = (arena.header.directory_count, arena.header.heap_next, arena.header.class_count)

    with pytest.raises(BadInput, match=why):
        NAMED[what](arena, name)

    assert (arena.header.directory_count, arena.header.heap_next, arena.header.class_count) == before


def test_a_name_that_is_part_of_a_path_has_no_slash():
    with pytest.raises(BadInput, match="has a '/'"):
        Arena.create("a/b")


def test_a_name_is_shown_in_a_line_whatever_is_in_it():
    with pytest.raises(BadInput) as refused:
        Arena.create("\x1b]0;title\a\n\u202e" * 1000)

    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()
    assert str(refused.value).isascii()


@pytest.mark.parametrize("size", [1 << 50, 10**30])
def test_more_than_the_machine_has_is_refused_before_any_of_it_is_taken(tmp_path, size):
    for path in (None, tmp_path / "arena"):
        with pytest.raises(CannotRunHere, match=r"there is no room for [0-9]+ bytes in .*: [0-9]+ are left"):
            Arena.create("x", size=size, path=path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "seats"), [(-1, 1), (0, 0), (0, 4097)])
def test_impossible_sizes_are_refused(size, seats):
    with pytest.raises(BadInput, match="size=-1" if size < 0 else f"seats={seats}"):
        Arena.create("x", size=size, seats=seats)


def open_descriptors() -> int:
    gc.collect()  # arenas of earlier tests keep a descriptor until they are garbage
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("place", ["memory", "file"])
def test_lack_of_memory_is_an_error_with_the_bytes_and_leaves_nothing(tmp_path, place):
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


LIMITS = {
    "address space": (resource.RLIMIT_AS, lambda: 2 * address_space(), "cannot map an arena of", "ulimit -v"),
    "descriptors": (resource.RLIMIT_NOFILE, lambda: 3, "an arena needs a file descriptor", "ulimit -n"),
}


def address_space():
    """Bytes of it that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("place", ["memory", "file"])
def test_a_limit_of_the_process_is_no_mistake_of_the_caller(tmp_path, actors, limit, place):
    kind, amount, said, hint = LIMITS[limit]
    size = 3 * address_space() if limit == "address space" else 1 << 16
    path = tmp_path / "arena" if place == "file" else None

    def maker(me):
        resource.setrlimit(kind, (amount(), resource.getrlimit(kind)[1]))
        try:
            Arena.create("x", size=size, path=path)
        except CannotRunHere as error:
            me.say(f"{error} try: {error.hint}")

    told = actors.actor(maker).listen()

    assert told.startswith(said)
    assert told.endswith(f"try: {hint}")
    assert not list(tmp_path.iterdir())


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


def test_no_file_has_a_nul_in_its_path(tmp_path):
    with pytest.raises(BadInput, match="the path of an arena file has no NUL"):
        Arena.create("x", path=f"{tmp_path}/nul\0")


def test_an_existing_file_is_neither_used_nor_touched(tmp_path):
    path = tmp_path / "arena"
    path.write_text("precious")

    with pytest.raises(BadInput, match="exists already"):
        Arena.create("x", path=path)

    assert path.read_text() == "precious"


def test_a_place_where_no_file_can_be_made_is_named(tmp_path):
    with pytest.raises(BadInput, match=f"{tmp_path}/none/arena.*No such file"):
        Arena.create("x", path=tmp_path / "none" / "arena")


# --- the directory


def test_a_table_of_another_layout_or_count_is_refused(arena):
    arena.table("things", Plain, 3)

    with pytest.raises(StaleArena, match="test:things"):
        arena.table("things", Guarded, 3)
    with pytest.raises(ArenaError, match="'things' of arena 'test' has 3 records, not 4"):
        arena.table("things", Plain, 4)


def test_a_table_that_was_never_made_cannot_be_opened(arena):
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
    with pytest.raises(BadInput, match=r"must have 1 to 47$"):
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


def maps_of(boot_id):
    """How often this process has the arena mapped; its name holds the boot id."""
    return Path("/proc/self/maps").read_text().count(f"hangdog:pin-{boot_id}")


def test_a_closed_arena_stays_mapped_as_long_as_a_lock_in_it_is_held():
    boot_id = secrets.token_hex(4)
    kept, gone = (Arena.create(f"pin-{boot_id}") for _ in range(2))
    with gone.mutex("a"):
        pass
    kept.mutex("a").acquire()

    for arena in (kept, gone):
        arena.close()
    del arena, kept, gone
    gc.collect()

    assert maps_of(boot_id) == 1
