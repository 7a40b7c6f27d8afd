"""A worker whose role has returned waits at the gate: it wakes no sleeper, unless the gate opens.

Programs of their own: the test runner has threads without a seat, which might wake a sleeper.
"""

import subprocess
import sys

from tests.waiting import LIMIT_S

BEGIN = """
from harness.run import RoleSpec, Session, supervisor

supervisor.QUIET_S = 1.5

class Cell:
    value: int

def sleeps(context, lock, room, cell):
    with room:
        room.wait_for((cell, "value", ">", 0))
        cell.value = 0

def wakes(room, cell):
    with room:
        cell.value = 1
        room.notify()

def report(result):
    print(result.ended_by or "all ended", [(found.verdict, found.workers) for found in result.findings])
"""

RETURNED = """
def returns(context):
    with context.step("something"):
        pass

with Session(time_limit_s=50.0, stall_s=40.0) as session:
    lock = session.arena.mutex("guard")
    room, cell = session.arena.condition("room", lock), session.arena.record(Cell, "cell")
    report(session.run_roles([RoleSpec("early", returns), RoleSpec("late", sleeps, (lock, room, cell))]))
"""

WAITS_ITSELF = """
def waits(context, room, cell):
    while context.next_epoch():
        pass
    wakes(room, cell)  # the role goes on when the time is over

with Session(time_limit_s=1.5) as session:
    lock = session.arena.mutex("guard")
    room, cell = session.arena.condition("room", lock), session.arena.record(Cell, "cell")
    roles = [RoleSpec("early", waits, (room, cell)), RoleSpec("late", sleeps, (lock, room, cell))]
    report(session.run_roles(roles, epochs=None))
"""

NEXT_EPOCH = """
def serves(context, lock, room, cell):
    while not context.should_stop():
        sleeps(context, lock, room, cell)

def works(context, room, cell):
    with context.step("job"):
        wakes(room, cell)

with Session() as session:
    lock = session.arena.mutex("guard")
    room, cell = session.arena.condition("room", lock), session.arena.record(Cell, "cell")
    roles = [
        RoleSpec("service", serves, (lock, room, cell), service=True, stop=lambda: wakes(room, cell)),
        RoleSpec("worker", works, (room, cell)),
    ]
    # The audit waits for the service to rest, which it does not: it sleeps.  The worker is parked meanwhile.
    report(session.run_roles(roles, epochs=2, audit=lambda context: None))
"""


def said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_worker_whose_role_has_returned_wakes_no_sleeper():
    assert said(RETURNED) == "finding [('lost_wakeup', ('late#0',))]\n"


def test_a_role_that_waits_at_the_gate_itself_may_still_wake_one():
    assert said(WAITS_ITSELF) == "time limit []\n"


def test_the_gate_may_open_when_all_workers_are_parked():
    assert said(NEXT_EPOCH).endswith(" []\n")
