"""A row that is read while its thread moves on may mix two moments; it is marked, and judged by no rule."""

import time

import harness.locks  # noqa: F401 - fills in Arena.mutex
from harness.shm import Arena
from harness.watch.snapshot import Reader, seat_facts
from tests.harness.actors import stage
from tests.waiting import LIMIT_S, wait_until

MIXED = 20


def test_a_row_that_mixes_two_moments_is_marked_torn():
    with Arena.create("torn", size=1 << 20, seats=8) as arena, stage() as actors:
        a, b = arena.mutex("a"), arena.mutex("b")
        arena.native.sit("holder")
        a.acquire()
        b.acquire()

        def alternate(me):
            arena.native.sit("waiter")
            me.say(arena.native.seat())
            while arena.header.watcher_beat == 0:
                a.acquire(timeout=0.0002)  # the line of a
                b.acquire(timeout=0.0002)  # the line of b

        arena.header.watcher_beat = 0
        actor = actors.actor(alternate)
        seat = int(actor.listen())
        reader = Reader(arena)
        line_of = sites(reader, seat)

        end, mixed, whole = time.monotonic() + LIMIT_S, 0, 0
        while mixed < MIXED or whole < MIXED:
            assert time.monotonic() < end, f"{mixed} mixed and {whole} whole rows: this would prove nothing"
            facts = seat_facts(reader, reader.seats[seat - 1], reader.native.exact_now())
            if facts.wait is None or not facts.wait.lock:
                continue
            fits = facts.wait.site == line_of[facts.wait.lock]
            assert fits or facts.torn, f"{facts.wait.lock} at {facts.wait.site} is no wait that ever was"
            mixed, whole = mixed + (not fits), whole + (fits and not facts.torn)

        arena.header.watcher_beat = 1
        actor.end()
        b.release()
        a.release()


def sites(reader, seat):
    """Where each of the two locks is waited for, from rows that did not move."""
    found: dict[str, dict[str, int]] = {}

    def look():
        facts = seat_facts(reader, reader.seats[seat - 1], reader.native.exact_now())
        if facts.wait is not None and facts.wait.lock and not facts.torn:
            counts = found.setdefault(facts.wait.lock, {})
            counts[facts.wait.site] = counts.get(facts.wait.site, 0) + 1
        return len(found) == 2 and all(sum(counts.values()) > MIXED for counts in found.values())

    wait_until(look, "rows of both waits")
    return {lock: max(counts, key=lambda site: counts[site]) for lock, counts in found.items()}
