"""mlock and munlock in a replay: wired as Linux means it, and nothing is left of it."""

import pytest

from stress.ops import core
from stress.ops.address_map import Range
from stress.run import runner
from stress.run.options import RunOptions
from stress.run.workload import ReplayWorkload
from stress.trace import wiring
from stress.trace.ops import DontNeed, Exec, Exit, Fork, Lock, MapAnon, Mremap, Unlock, Unmap, Wait
from stress.trace.plan import Plan, Task
from stress.trace.replay import Life, Replay
from stress.trace.replay_state import ReplayState
from stress.trace.touch import TouchModel
from vmcore.audit.audit import audit
from vmcore.space.vmspace import space_map

PAGE = 4096
HEAP, MORE = 0x100000, 0x300000
TABLES = {
    "objects": 1024, "entries": 1024, "mappings": 4096, "pagers": 256, "swap_blocks": 512, "swap_pages": 2048,
}  # fmt: skip


@pytest.fixture
def process(actor):
    """A process with eight pages at HEAP."""
    it = core.create_process(actor)
    core.allocate(actor, it, Range(HEAP, HEAP + 8 * PAGE, 3))
    yield it
    core.leave(actor, it)
    assert actor.vm.g.v_wire_count == 0


def wired(actor, process):
    return wiring.parts(actor.vm, space_map(actor.vm, process.space), 0, 0, True)


def test_locks_do_not_nest(actor, process):
    wiring.lock(actor, process, HEAP, HEAP + 4 * PAGE)
    wiring.lock(actor, process, HEAP + 2 * PAGE, HEAP + 6 * PAGE)

    assert actor.vm.g.v_wire_count == 6
    assert wiring.unlock(actor, process, HEAP, HEAP + 4 * PAGE) == [
        (HEAP, HEAP + 4 * PAGE),
    ]
    assert wired(actor, process) == [(HEAP + 4 * PAGE, HEAP + 6 * PAGE)]
    assert audit(actor.vm) == []


def test_mlockall_locks_what_fits_and_munlockall_unlocks_everything(actor, process):
    pages = actor.vm.g.v_wire_max
    core.allocate(actor, process, Range(MORE, MORE + pages * PAGE, 3))

    wiring.lock(actor, process, 0, 0)

    assert wired(actor, process) == [(HEAP, HEAP + 8 * PAGE)]
    wiring.unlock(actor, process, 0, 0)
    assert actor.vm.g.v_wire_count == 0
    assert audit(actor.vm) == []


def plan():
    """A parent and its children lock, move, forget and unmap memory, and exit with some of it locked."""
    program = Exec((MapAnon(HEAP, 8 * PAGE, 3, False, True),), seen=False)
    child = (
        Lock(HEAP + PAGE, 3 * PAGE),
        Unmap(HEAP + 2 * PAGE, PAGE),
        Unlock(HEAP, 0),
        Lock(HEAP, 2 * PAGE),
        Exit(),
    )
    parent = (
        program,
        Lock(HEAP, 4 * PAGE),
        Fork(1, False, False),
        Mremap(HEAP, 2 * PAGE, MORE, 3 * PAGE),
        DontNeed(HEAP + 3 * PAGE, 2 * PAGE),
        Fork(2, False, False),
        Unlock(HEAP + 2 * PAGE, PAGE),
        Wait(1),
        Wait(2),
        Exit(),
    )
    other = (Lock(MORE, PAGE), Exit())
    tasks = (
        Task(0, 100, None, parent, 1, 2),
        Task(1, 101, 0, child, 2, 3),
        Task(2, 102, 0, other, 3, 4),
    )
    made = Plan("locks", tasks, ())
    made.validate()
    return made


def test_a_replay_wires_and_moves_and_forgets_locked_memory(actor, process):
    made = plan()
    replay = Replay(made, ReplayState(actor.vm.arena, len(made.tasks), 1), TouchModel(1), actor)
    life = Life(made, 0, process, False)

    def play(*steps):
        assert all(replay.kinds[op.kind](life, op) for op in steps)
        return wired(actor, process)

    assert play(Lock(HEAP, 4 * PAGE)) == [(HEAP, HEAP + 4 * PAGE)]
    assert (MORE, MORE + 2 * PAGE) in play(Mremap(HEAP, 2 * PAGE, MORE, 2 * PAGE))
    assert play(Unlock(MORE, PAGE)) == [(HEAP + 2 * PAGE, HEAP + 4 * PAGE), (MORE + PAGE, MORE + 2 * PAGE)]
    assert play(DontNeed(HEAP + 2 * PAGE, 2 * PAGE), Unlock(0, 0)) == []
    assert audit(actor.vm) == []


def test_a_program_that_locks_memory_is_replayed_and_every_page_is_right():
    chosen = RunOptions(trace="locks", workers=2, touches=3.0, tables=TABLES)

    report = runner.run_workload(chosen, ReplayWorkload(plan(), chosen))

    assert report.findings == []
