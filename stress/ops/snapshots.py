"""Steps: a snapshot of a file (MAP_COPY), and the proof that it stays what the file was."""

from __future__ import annotations

from dataclasses import dataclass

from stress.ops.address_map import Range
from stress.ops.core import Actor, Process, process_map
from stress.oracles.at_rest import wrong_data
from stress.oracles.contents import FILE_SPACES, NO_WRITER, SIZE, Mismatch, describe, file_stamp, space_name
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_map_file


@dataclass(frozen=True)
class SnapshotBound:
    """What a snapshot may show: nothing issued after it was taken, nothing seen replaced before."""

    new: Range
    issued: tuple[int, ...]  # by writer, when the mapping was there
    floors: dict[int, dict[int, int]]  # by page of the file, when the mapping was asked for


def snapshot(actor: Actor, process: Process, new: Range) -> SnapshotBound:
    """Map a file by copy at new.start, over nothing.

    It is not in the process's picture before ``publish``: an ordinary load would take what it
    shows for the file as it is now.
    """
    vm, witness = actor.vm, actor.witness
    first, count = new.offset // actor.page, (new.end - new.start) // actor.page
    floors = {
        page: dict(witness.floor.get((FILE_SPACES + new.file, page), {}))
        for page in range(first, first + count)
    }
    actor.native.begin("snapshot", new.start)
    vnode = vm.vnodes.views[new.file + 1]
    length = new.end - new.start
    vm_map_file(
        vm, process_map(vm, process), vnode, length, new.offset, False, new.start, new.prot, copy=True
    )
    issued = tuple(int(row.issued) for row in witness.rows)
    process.journal.forget(new.start // actor.page, new.end // actor.page)
    actor.native.end()
    return SnapshotBound(new, issued, floors)


def first_read(actor: Actor, process: Process, taken: SnapshotBound, va: int) -> None:
    """Look at one page of a snapshot for the first time; from now on it must stay exactly that."""
    vm, journal = actor.vm, process.journal
    page = va // actor.page
    if page in journal.private:
        return
    number = (taken.new.offset + va - taken.new.start) // actor.page
    actor.native.begin("develop", va)
    data = vm_read(vm, process.space, va)
    try:
        check_exposed(actor, taken, number, data)
    except Mismatch as error:
        raise wrong_data(vm, process.space, va, str(error)) from None
    journal.wrote(page, data[:SIZE])
    actor.native.end()


def publish(process: Process, taken: SnapshotBound) -> None:
    """Every page was read once: from now on the snapshot is memory like any other."""
    process.picture.map(taken.new)


def check_exposed(actor: Actor, taken: SnapshotBound, number: int, data: bytes) -> None:
    """Mismatch when a page cannot have been in the file at the moment of the mapping."""
    witness, space = actor.witness, FILE_SPACES + taken.new.file
    witness.row.reads += 1
    stamp = data[:SIZE]
    where = f"page {number} of {space_name(space)} in a snapshot"
    if data != stamp * witness.repeat:
        raise Mismatch(f"{where}: found {describe(data)}")
    found = witness.genuine((space, number), stamp, file_stamp(taken.new.file, number))
    if found.writer != NO_WRITER and found.sequence > taken.issued[found.writer]:
        raise Mismatch(f"{where}: found {describe(data)}, which was stored after the snapshot was taken")
    if found.sequence < taken.floors[number].get(found.writer, 0):
        raise Mismatch(f"{where}: found {describe(data)}, which was seen replaced before it was taken")
