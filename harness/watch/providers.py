"""Wait edges that are not locks, laid down as data.

A program that hands work to another thread (a disk worker, a daemon) registers a table
here: "a record of this table in one of these states means that a thread that sleeps on the
word at *address* waits for the seats of this role".  The watcher only reads; it never
calls the program.
"""

from ctypes import Structure, c_char, c_uint32, c_uint64
from typing import Any

from harness.errors import TableFull
from harness.shm.arena import Arena
from harness.shm.layout import guarded

MAX_PROVIDERS = 16
NAME = "edge_providers"


class EdgeProvider(Structure):
    """One table that leads from a word to the role that will change it."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "used", c_uint32, "1: filled in (written last)"),
        ("=", "state_size", c_uint32, "bytes of the state field: 1, 2, 4; 0: every record counts"),
        ("=", "states", c_uint32, "bit mask over the state values 0..31 that count"),
        ("=", "count", c_uint32, "records, slot 0 included"),
        ("=", "table_offset", c_uint64, "of record 0; 0: a fixed address instead of a table"),
        ("=", "stride", c_uint64, "bytes per record"),
        ("=", "state_offset", c_uint64, "of the state inside a record"),
        ("=", "address_offset", c_uint64, "of the field with the address; fixed: the address itself"),
        ("=", "served_by", c_char * 32, "role"),
        ("=", "name", c_char * 32, "for people"),
    )


def _table(arena: Arena) -> Any:
    return arena.table(NAME, EdgeProvider, MAX_PROVIDERS)


def register(
    arena: Arena,
    *,
    name: str,
    served_by: str,
    address_offset: int,
    table_offset: int = 0,
    stride: int = 0,
    count: int = 0,
    state_offset: int = 0,
    state_size: int = 0,
    states: int = 0,
) -> None:
    """Add one provider.  Without a table, ``address_offset`` is the address of the word itself."""
    table = _table(arena)
    row = next((row for row in table.views[1:] if not row.used), None)
    if row is None:
        raise TableFull(NAME, MAX_PROVIDERS, "")
    row.name, row.served_by = name.encode()[:31], served_by.encode()[:31]
    row.table_offset, row.stride, row.count = table_offset, stride, count
    row.state_offset, row.state_size, row.states = state_offset, state_size, states
    row.address_offset = address_offset
    row.used = 1


def served(arena: Arena, roles: dict[str, list[int]]) -> list[tuple[int, int]]:
    """(address of a word, seat that will change it) of every record that counts now."""
    if NAME not in arena.tables and not any(row.name == NAME.encode() for row in arena.directory()):
        return []
    found: list[tuple[int, int]] = []
    for row in _table(arena).views[1:]:
        if row.used:
            seats = roles.get(row.served_by.decode(errors="replace"), [])
            found += [(address, seat) for address in _addresses(arena, row) for seat in seats]
    return found


def _addresses(arena: Arena, row: Any) -> list[int]:
    if not row.table_offset:
        return [int(row.address_offset)]
    mapping, found = arena.mapping, []
    if not row.stride or row.table_offset + row.stride * row.count > arena.header.size:
        raise ValueError(f"provider {row.name!r} leads outside of the arena")
    for slot in range(row.count):
        base = row.table_offset + slot * row.stride
        if row.state_size:
            at = base + row.state_offset
            state = int.from_bytes(mapping[at : at + row.state_size], "little")
            if state > 31 or not row.states >> state & 1:
                continue
        at = base + row.address_offset
        address = int.from_bytes(mapping[at : at + 8], "little")
        if address:
            found.append(address)
    return found
