"""New processes on their way to another worker: what a process *is*, as bytes in the arena.

A process is its vmspace, its journal and its picture.  The space lies in the arena anyway; the
other two live in the memory of the worker that runs the process, so the worker that passes it on writes
them into a *buffer* (a fixed block of the arena), and the worker that takes it over reads them there.  A
process that does not fit, or finds no free buffer, cannot be passed on: its parent's worker keeps it.
"""

import msgspec

from stress.ops.address_map import AddressMap, Range
from stress.ops.core import Process
from stress.oracles.contents import Journal, Region
from vmcore.vm import Vm


class Packed(msgspec.Struct, array_like=True, frozen=True):
    """A process as it travels; its avoid list stays behind (the plan knows it)."""

    vmspace: int  # its reference
    generation: int
    ranges: tuple[Range, ...]
    space: int  # from here on: its journal
    private: dict[int, bytes]
    regions: list[Region]
    loose: frozenset[int]
    pinned: set[int]
    crowded: bool


DECODER = msgspec.msgpack.Decoder(Packed)


def encode(vm: Vm, process: Process) -> bytes:
    """The process as bytes."""
    journal = process.journal
    row = [getattr(journal, name) for name in Packed.__struct_fields__[3:]]
    packed = Packed(vm.vmspaces.ref(process.space), process.generation, tuple(process.picture), *row)
    return msgspec.msgpack.encode(packed)


def decode(vm: Vm, data: bytes) -> Process:
    """The process that ``encode`` wrote."""
    packed = DECODER.decode(data)
    journal = Journal(packed.space)
    for name in Packed.__struct_fields__[4:]:
        setattr(journal, name, getattr(packed, name))
    return Process(vm.vmspaces(packed.vmspace), AddressMap(packed.ranges), journal, packed.generation)
