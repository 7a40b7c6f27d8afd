"""Steps of a simulated process, with no other worker there."""

import pytest

from harness import _native
from stress.ops import core, process_codec
from stress.ops.address_map import Range
from stress.oracles.at_rest import InvariantViolated, Leak, WrongData, audit_the_end
from stress.oracles.contents import FILE_SPACES
from stress.scenario.process_pool import ProcessPool
from vmcore.space.access import vm_read, vm_write

PAGE = 4096
BASE = 0x10000
READ_WRITE = 3


@pytest.fixture
def process(actor):
    made = core.create_process(actor)
    core.allocate(actor, made, Range(BASE, BASE + 4 * PAGE, READ_WRITE))
    return made


def read_all(actor, process):
    for piece in process.picture.touchable(False):
        for va in range(piece.start, piece.end, PAGE):
            core.read(actor, process, va)


def test_parent_and_child_each_see_their_own_stores(world, actor, process):
    core.write(actor, process, BASE)
    child = core.fork(actor, process)
    core.write(actor, process, BASE)
    core.write(actor, child, BASE + PAGE)

    read_all(actor, process)
    read_all(actor, child)

    assert world.reads() == 8


def test_every_step_is_counted_and_leaves_no_lock(world, actor, process):
    seat = world.arena.native.seat()
    before = ops_done(world, seat)

    core.write(actor, process, BASE)
    core.read(actor, process, BASE)

    assert ops_done(world, seat) == before + 2
    assert world.arena.native.held() == []


def test_a_store_unknown_to_the_oracle_is_found_and_names_the_chain(world, actor, process):
    core.write(actor, process, BASE)
    vm_write(world.vm, process.space, BASE, b"\xdb" * PAGE)

    with pytest.raises(WrongData, match=r"expected store 1 .* found junk .*O\d+\(ref1"):
        core.read(actor, process, BASE)
    assert WrongData.verdict == "wrong_data"


def test_a_file_is_read_as_on_disk_and_its_private_copy_stays_private(world, actor, process):
    core.map_file(actor, process, Range(0x100000, 0x104000, READ_WRITE, False, 1, 0))
    core.map_file(actor, process, Range(0x200000, 0x204000, READ_WRITE, True, 1, 0))
    read_all(actor, process)

    core.write(actor, process, 0x100000)
    core.write(actor, process, 0x200000)
    core.write(actor, process, 0x201000)

    read_all(actor, process)
    mine, file = (vm_read(world.vm, process.space, va) for va in (0x100000, 0x200000))
    assert mine != file
    unwritten, later = (vm_read(world.vm, process.space, va) for va in (0x101000, 0x201000))
    assert unwritten == later, "a private page shows the file until it is written"


def test_shared_memory_is_one_memory_after_a_fork(world, actor, process):
    core.allocate(actor, process, Range(0x300000, 0x302000, READ_WRITE, True))
    child = core.fork(actor, process)
    core.write(actor, child, 0x300000)

    core.read(actor, process, 0x300000)
    first = vm_read(world.vm, process.space, 0x300000)
    core.write(actor, process, 0x300000)
    core.read(actor, child, 0x300000)

    second = vm_read(world.vm, child.space, 0x300000)
    assert second == vm_read(world.vm, process.space, 0x300000)
    assert len({first, second, bytes(PAGE)}) == 3, "each saw what the other had stored"


def test_unmapped_and_mapped_again_reads_zeros(actor, process):
    core.write(actor, process, BASE + PAGE)
    core.unmap(actor, process, BASE + PAGE, BASE + 2 * PAGE)
    core.allocate(actor, process, Range(BASE + PAGE, BASE + 2 * PAGE, READ_WRITE))

    core.read(actor, process, BASE + PAGE)

    assert BASE // PAGE + 1 not in process.journal.private


def test_moved_memory_keeps_its_contents_and_discarded_memory_loses_them(world, actor, process):
    core.write(actor, process, BASE)
    core.write(actor, process, BASE + PAGE)
    before = vm_read(world.vm, process.space, BASE)
    core.move(actor, process, BASE, PAGE, 0x500000, 2 * PAGE)
    process.picture.move(BASE, PAGE, 0x500000, 2 * PAGE)
    core.discard(actor, process, BASE + PAGE, BASE + 2 * PAGE)

    read_all(actor, process)
    assert vm_read(world.vm, process.space, 0x500000) == before
    assert vm_read(world.vm, process.space, BASE + PAGE) == bytes(PAGE)


def test_a_store_becomes_a_load_when_another_worker_has_the_turn(world, actor, process):
    core.map_file(actor, process, Range(0x200000, 0x204000, READ_WRITE, True, 1, 0))
    other = world.actor(2).witness
    row = other.begin_store(FILE_SPACES + 1, 0)

    core.write(actor, process, 0x200000)

    assert actor.witness.row.issued == 0  # it loaded instead
    assert actor.witness.row.reads == 1
    other.end_store(row)
    core.write(actor, process, 0x200000)
    assert actor.witness.row.issued == 1


def test_a_refused_operation_is_a_violation(actor, process):
    with pytest.raises(
        InvariantViolated, match=r"protect at 0x900000 failed: KERN code 1 \(invalid address\)"
    ):
        core.protect(actor, process, 0x900000, 0x901000, 1)


def test_a_process_travels_through_bytes(world, actor, process):
    core.allocate(actor, process, Range(0x300000, 0x302000, READ_WRITE, True))
    core.write(actor, process, BASE)
    process.journal.crowd()
    process.journal.pinned.add(3)

    copy = process_codec.decode(world.vm, process_codec.encode(world.vm, process))

    assert copy.space is process.space
    assert list(copy.picture) == list(process.picture)
    for name in ("space", "private", "regions", "loose", "pinned", "crowded"):
        assert getattr(copy.journal, name) == getattr(process.journal, name)


def test_a_pool_gives_back_its_processes_and_is_full_at_its_size(world, actor, process):
    pool = ProcessPool(world.arena, 1)
    child = core.fork(actor, process)

    assert pool.put(actor, process)
    assert not pool.put(actor, child)
    found = pool.take(actor)

    assert found is not None
    assert found.space is process.space
    assert pool.take(actor) is None


def test_a_process_that_did_not_leave_is_a_leak(world, actor, process):
    core.write(actor, process, BASE)

    with pytest.raises(Leak, match="still alive"):
        audit_the_end(world.vm)
    core.leave(actor, process)
    audit_the_end(world.vm)


def ops_done(world, seat):
    row = world.arena.native.offset_of_seat(seat)
    fields = {name: offset for name, offset, *_ in _native.LAYOUT["hd_seat"][1]}
    at = row + fields["steps"]
    return int.from_bytes(world.arena.mapping[at : at + 8], "little")
