"""New processes on their way to another worker: what a process *is*, as bytes in the arena.

A process is its vmspace, its journal and its picture.  The space lies in the arena anyway; the
other two live in the memory of the worker that runs the process, so the worker that passes it on writes
them into a *buffer* (a fixed block of the arena), and the worker that takes it over reads them there.  A
process that does not fit, or finds no free buffer, cannot be passed on: its parent's worker keeps it.
"""

from __future__ import annotations

import struct
from array import array

from stress.ops.address_map import AddressMap, Range
from stress.ops.core import Process
from stress.oracles.contents import SIZE, Journal, Region
from vmcore.vm import Vm

HEAD = struct.Struct("<QIIIIIII")  # vmspace, generation, space, flags, counts of what follows
RANGE = struct.Struct("<QQBBqQ")
REGION = struct.Struct("<QQQQ")
CROWDED = 1


def encode(vm: Vm, process: Process) -> bytes:
    """The process as bytes; its avoid list stays behind (the plan knows it)."""
    journal, ranges = process.journal, list(process.picture)
    head = HEAD.pack(
        vm.vmspaces.ref(process.space), process.generation, journal.space, CROWDED * journal.crowded,
        len(ranges), len(journal.regions), len(journal.private),
        len(journal.loose) << 20 | len(journal.pinned),
    )  # fmt: skip
    parts = [head]
    parts += [RANGE.pack(r.start, r.end, r.prot, r.shared, r.file, r.offset) for r in ranges]
    parts += [REGION.pack(*region) for region in journal.regions]
    parts.append(array("Q", journal.private.keys()).tobytes())
    parts += journal.private.values()
    parts.append(array("I", journal.loose).tobytes())
    parts.append(array("Q", journal.pinned).tobytes())
    return b"".join(parts)


def decode(vm: Vm, data: bytes) -> Process:
    """The process that ``encode`` wrote."""
    space, generation, number, flags, n_ranges, n_regions, n_private, rest = HEAD.unpack_from(data)
    at = HEAD.size
    ranges = []
    for start, end, prot, shared, file, offset in RANGE.iter_unpack(data[at : at + n_ranges * RANGE.size]):
        ranges.append(Range(start, end, prot, bool(shared), file, offset))
    at += n_ranges * RANGE.size
    journal = Journal(number)
    journal.regions = [Region(*row) for row in REGION.iter_unpack(data[at : at + n_regions * REGION.size])]
    at += n_regions * REGION.size
    pages = array("Q", data[at : at + 8 * n_private])
    at += 8 * n_private
    journal.private = {page: data[at + i * SIZE : at + (i + 1) * SIZE] for i, page in enumerate(pages)}
    at += n_private * SIZE
    n_loose, n_pinned = rest >> 20, rest & 0xFFFFF
    journal.loose = frozenset(array("I", data[at : at + 4 * n_loose]))
    journal.pinned = set(array("Q", data[at + 4 * n_loose : at + 4 * n_loose + 8 * n_pinned]))
    journal.crowded = bool(flags & CROWDED)
    return Process(vm.vmspaces(space), AddressMap(tuple(ranges)), journal, generation)
