"""ctypes mirrors of the C structures, built from the extension's own description.

There is no second declaration to keep in step: names, offsets and sizes come from
``_native.LAYOUT``.  Gaps are filled with padding so that offsets are exactly C's.
"""

import ctypes
from typing import Any

from harness import _native

CONSTANTS: dict[str, int] = _native.CONSTANTS

_CODES: dict[str, Any] = {
    "u8": ctypes.c_uint8,
    "u16": ctypes.c_uint16,
    "u32": ctypes.c_uint32,
    "u64": ctypes.c_uint64,
    "i32": ctypes.c_int32,
    "i64": ctypes.c_int64,
    "char": ctypes.c_char,
    "blob": ctypes.c_uint8,
}
_BUILT: dict[str, type[ctypes.Structure]] = {}


def mirror(struct: str) -> type[ctypes.Structure]:
    """The ctypes Structure of C's ``struct``; built once."""
    if struct in _BUILT:
        return _BUILT[struct]
    size, rows = _native.LAYOUT[struct]
    fields: list[tuple[str, Any]] = []
    at = 0
    for name, offset, code, count in sorted(rows, key=lambda row: row[1]):
        if offset > at:
            fields.append((f"_pad{at}", ctypes.c_uint8 * (offset - at)))
        kind = _CODES.get(code) or mirror(code)
        fields.append((name, kind * count if count > 1 else kind))
        at = offset + ctypes.sizeof(kind) * count
    if size > at:
        fields.append((f"_pad{at}", ctypes.c_uint8 * (size - at)))
    built = type(struct, (ctypes.Structure,), {"_fields_": fields, "_pack_": 1, "_layout_": "ms"})
    if ctypes.sizeof(built) != size:
        raise AssertionError(f"{struct}: C says {size} bytes, the mirror has {ctypes.sizeof(built)}")
    _BUILT[struct] = built
    return built


Header: Any = mirror("hd_arena")
Seat: Any = mirror("hd_seat")
Mutex: Any = mirror("hd_mutex")
RwLock: Any = mirror("hd_rwlock")
Channel: Any = mirror("hd_channel")
Held: Any = mirror("hd_held")
Event: Any = mirror("hd_event")
LockClass: Any = mirror("hd_class")
Edge: Any = mirror("hd_edge")
Site: Any = mirror("hd_site")
Name: Any = mirror("hd_name")
Report: Any = mirror("hd_report")
Entry: Any = mirror("hd_entry")


def on_list(channel: Any, seat: int) -> bool:
    """Is this seat's sleep on the channel still without a wakeup?  (Being off the list is being woken.)"""
    return bool(channel.asleep[(seat - 1) // 64] >> (seat - 1) % 64 & 1)


def reading(lock: Any, seat: int) -> bool:
    """Does this seat's cell of a read/write lock say that it reads (as upgrader, too)?"""
    cell = lock.cells[(seat - 1) // 32] >> (seat - 1) % 32 * 2 & 3
    return bool(cell == _native.CONSTANTS["READING"])
