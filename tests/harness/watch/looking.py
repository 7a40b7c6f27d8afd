"""How the tests look: bounded loops around ``Watchdog.scan``."""

import os
import select
import time
from pathlib import Path

from harness.shm.roster import Roster
from harness.watch import dump
from harness.watch.records import RunMeta, Suspicion
from harness.watch.snapshot import Reader, take
from tests.waiting import LIMIT_S

PERIOD_S = 0.004


def find(watchdog, verdict, limit=LIMIT_S):
    """Scan until there is a finding of this verdict."""
    end = time.monotonic() + limit
    while not (found := [f for f in watchdog.findings if f.verdict == verdict]):
        assert time.monotonic() < end, f"no {verdict}; found {[f.verdict for f in watchdog.findings]}"
        watchdog.scan()
        time.sleep(PERIOD_S)
    return found[0]


def find_notice(watchdog, verdict, limit=LIMIT_S):
    """Scan until this verdict was reported; nothing of it counts yet."""
    end = time.monotonic() + limit
    while not (found := [f for f in watchdog.notices if f.verdict == verdict]):
        assert time.monotonic() < end, f"no notice of {verdict}; {[f.verdict for f in watchdog.notices]}"
        watchdog.scan()
        time.sleep(PERIOD_S)
    assert [f for f in watchdog.findings if f.verdict == verdict] == []
    return found[0]


def at_the_end(watchdog, verdict):
    """Nothing of this verdict before the end, and one finding at the end."""
    assert verdict not in look_for(watchdog, 0.2)
    found = [f for f in watchdog.settle_notices() if f.verdict == verdict]
    assert len(found) == 1, [f.summary for f in watchdog.findings]
    assert watchdog.settle_notices() == []
    return found[0]


def look_for(watchdog, seconds=0.5):
    """Scan for a while; the verdicts that came up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watchdog.scan()
        time.sleep(PERIOD_S)
    return [f.verdict for f in watchdog.findings]


def dumped(finding):
    """The dump of a finding, read back from its file."""
    return dump.read(Path(finding.dump))


def waiting(arena, role, kind=None):
    """Predicate: does the seat of this role wait (for ``kind``, an activity number)?"""

    def look():
        for seat in Roster(arena).seats:
            if seat.live == 2 and seat.role == role.encode() and seat.activity:
                return kind is None or seat.activity == kind
        return False

    return look


def stopped(pid):
    """Predicate: is the process stopped?"""

    def look():
        text = Path(f"/proc/{pid}/stat").read_text()
        return text[text.rindex(")") + 2] == "T"

    return look


def me(arena, role):
    """Take a seat in an actor."""
    arena.native.sit(role)
    return os.getpid()


def assert_nothing_found(watchdog, crew, seconds=0.6):
    """Nothing was found while they ran and until they ended."""
    found = look_for(watchdog, seconds)
    for actor in crew:
        actor.tell("stop")
    for actor in crew:
        actor.end()
    assert found + look_for(watchdog, 0.1) == []


def busy(arena, role, work):
    """Do ``work`` again and again until told to stop."""

    def body(actor):
        me(arena, role)
        while not select.select([actor.inbox.out], [], [], 0)[0]:
            arena.native.begin("work")
            work()
            arena.native.end()
        actor.hear("stop")

    return body


def built(arena, with_stacks=False, **facts):
    """A dump of this moment, about a stall unless ``facts`` say otherwise."""
    reader = Reader(arena)
    why = {"verdict": "stall", "key": "k", "seats": [], "why": "nothing moves"}
    return dump.build(reader, take(reader), Suspicion(**(why | facts)), RunMeta(), with_stacks)
