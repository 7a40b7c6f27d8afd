"""Threads that have the arena and no seat, as a watcher sees them that may not look at every process."""

import os

from harness.watch import census
from harness.watch.reader import Reader
from harness.watch.snapshot import take

OTHER = 65534  # whose processes have no rights over those of root, or of us


def test_an_unreadable_process_counts_if_younger_and_is_named_if_older(arena, actors):
    """It may have inherited the arena; the first process of the machine cannot have."""

    def hidden(me):
        arena.native.leave()
        me.say("here")
        me.hear("enough")

    def look(me):
        if os.getuid() == 0:
            os.setresuid(OTHER, OTHER, OTHER)
        reader = Reader(arena)
        found, older = census.outsiders(reader, take(reader))
        me.say(", ".join(found) + "; older: " + ", ".join(older))

    one = actors.actor(hidden)
    one.expect("here")
    found, older = actors.actor(look).listen().split("; older: ")
    one.tell("enough")

    assert f"pid {one.pid} " in found, "one that may have the arena does not count"
    if os.getuid() == 0:  # else it belongs to another user than the arena's only one
        assert "pid 1 " in older
    assert "pid 1 " not in found, "one that cannot have inherited the arena counts"
