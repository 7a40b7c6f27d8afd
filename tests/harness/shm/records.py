"""The record types of these tests."""

from ctypes import Structure, c_int32, c_uint32, c_uint64

from harness.shm.layout import ChannelRecord, MutexRecord, RwLockRecord, guarded


class Thing(Structure):
    """For pools: head, locks, and words on both sides of them."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32, "pool"),
        (".", "next_free", c_uint32, "pool"),
        ("O", "before", c_uint64, ""),
        ("=", "lock_", MutexRecord, ""),
        ("=", "chan_", ChannelRecord, ""),
        ("=", "map_", RwLockRecord, ""),
        ("O", "value", c_int32, ""),
        ("O", "array", c_uint32 * 3, ""),
    )


class Plain(Structure):
    """For tables."""

    _fields_, GUARDS, NOTES = guarded(("O", "value", c_uint64, ""), ("O", "flags", c_uint32, ""))


class Guarded(Structure):
    """As Plain, but another guard: another fingerprint."""

    _fields_, GUARDS, NOTES = guarded(("P", "value", c_uint64, ""), ("O", "flags", c_uint32, ""))
