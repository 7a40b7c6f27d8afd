"""Ctrl-C ends every wait although what it waits for never comes, and leaves nothing behind."""

import pytest

from harness.shm.roster import Roster
from tests.harness.actors import wait_until

WAITS = {
    "mutex": lambda arena: arena.mutex("tested").acquire(),
    "with mutex": lambda arena: arena.mutex("tested").__enter__(),
    "mutex with a limit": lambda arena: arena.mutex("tested").acquire(timeout=60),
    "write": lambda arena: arena.rwlock("rw").write(),
    "read": lambda arena: arena.rwlock("rw").read(),
    "upgrade": lambda arena: arena.rwlock("shared").read() and arena.rwlock("shared").upgrade(),
    "sleep": lambda arena: arena.channel("bell").block(arena.channel("bell").intend(), "nap"),
    "idle": lambda arena: arena.channel("bell").block(0, "nap", idle=True),
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_every_wait_and_leaves_nothing(wait, sliced, actors):
    """At once, or, where the signal comes just before the sleep, after its slice."""
    arena = sliced
    locks = arena.mutex("tested"), arena.rwlock("rw"), arena.rwlock("shared")
    arena.native.sit("test")

    def waiter(me):
        me.say("ready")
        with pytest.raises(KeyboardInterrupt):
            WAITS[wait](arena)
        me.say("interrupted")
        if locks[2].held():
            locks[2].release()
        arena.native.require_nothing_held()

    locks[0].acquire()
    locks[1].write()
    locks[2].read()
    actor = actors.actor(waiter)
    actor.expect("ready")
    wait_until(lambda: [r for r in Roster(arena).rows() if r.activity != "running"], "the wait")
    actor.interrupt()
    actor.expect("interrupted")
    actor.end()
    for lock in locks:
        lock.release()
        assert lock.try_acquire() is True
        assert lock.holder()[3] == "test"
    assert all(row.activity == "running" for row in Roster(arena).rows())
