import ctypes
from ctypes import Structure, c_uint8, c_uint16, c_uint32, c_uint64

import pytest

from harness import _native
from harness.errors import ArenaError
from harness.shm import layout, native
from harness.shm.layout import ChannelRecord, MutexRecord, RwLockRecord, fingerprint, guarded


def record(*rows):
    fields, guards, notes = guarded(*rows)
    return type("Record", (Structure,), {"_fields_": fields, "GUARDS": guards, "NOTES": notes})


def test_one_row_gives_field_guard_and_note():
    fields, guards, notes = guarded(("O", "size", c_uint64, "bytes"), ("=", "lock_", MutexRecord, "its lock"))

    assert fields == [("size", c_uint64), ("lock_", MutexRecord)]
    assert guards == {"size": "O", "lock_": "="}
    assert notes == {"size": "bytes", "lock_": "its lock"}


def test_two_rows_of_one_name_are_refused():
    with pytest.raises(ArenaError, match="two rows named 'size'"):
        guarded(("O", "size", c_uint64, ""), ("P", "size", c_uint32, ""))


def test_a_field_that_one_store_cannot_write_is_refused():
    class Packed(Structure):
        _pack_ = 1
        _layout_ = "ms"
        _fields_ = [("tag", c_uint8), ("word", c_uint64)]

    with pytest.raises(ArenaError, match="'inner' holds a word at offset 1"):
        guarded((".", "inner", Packed, ""))


@pytest.mark.parametrize(
    ("kind", "struct"),
    [(MutexRecord, "hd_mutex"), (RwLockRecord, "hd_rwlock"), (ChannelRecord, "hd_channel")],
)
def test_an_embedded_lock_has_the_size_and_alignment_of_c(kind, struct):
    behind_a_byte = record((".", "tag", c_uint8, ""), ("=", "lock_", kind, ""))

    assert ctypes.sizeof(kind) == _native.LAYOUT[struct][0]
    assert behind_a_byte.lock_.offset == 8


def test_embedded_locks_are_found_with_their_offsets():
    both = record(
        (".", "n", c_uint32, ""), ("=", "lock_", MutexRecord, ""), ("=", "chan_", ChannelRecord, "")
    )

    assert layout.embedded_rows(both) == [
        ("lock_", MutexRecord, 8),
        ("chan_", ChannelRecord, 8 + ctypes.sizeof(MutexRecord)),
    ]


BASE = ((".", "generation", c_uint32, ""), ("O", "size", c_uint64, "bytes"))


def test_the_fingerprint_depends_on_the_rows_and_not_on_the_notes():
    assert fingerprint(record(*BASE)) == fingerprint(record(BASE[0], ("O", "size", c_uint64, "octets")))


@pytest.mark.parametrize(
    "rows",
    [
        ((".", "generation", c_uint32, ""), ("O", "bytes", c_uint64, "")),
        ((".", "generation", c_uint32, ""), ("P", "size", c_uint64, "")),
        ((".", "generation", c_uint32, ""), ("O", "size", c_uint32, "")),
        (("O", "size", c_uint64, ""), (".", "generation", c_uint32, "")),
        ((".", "generation", c_uint16, ""), ("O", "size", c_uint64, "")),
    ],
    ids=["name", "guard", "size", "order", "width"],
)
def test_the_fingerprint_moves_with_names_guards_sizes_and_places(rows):
    assert fingerprint(record(*rows)) != fingerprint(record(*BASE))


def test_the_fingerprint_is_stable_between_processes_and_builds():
    assert fingerprint(record(*BASE)) == 0xB39D04EF35ED744E


@pytest.mark.parametrize("struct", sorted(_native.LAYOUT))
def test_the_mirror_of_a_c_structure_has_its_offsets(struct):
    size, rows = _native.LAYOUT[struct]

    mirror = native.mirror(struct)

    assert ctypes.sizeof(mirror) == size
    assert [getattr(mirror, name).offset for name, *_ in rows] == [offset for _, offset, *_ in rows]
