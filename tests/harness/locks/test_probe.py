"""Named points, placed noise, and the flight recorder."""

import sys
import time

import pytest

from harness import _native, probe
from harness.errors import BadInput
from harness.probe import PROFILES, Profile
from harness.shm import native

C = _native.CONSTANTS
ALWAYS = 65536
LONG_NS = 5_000_000
ROUNDS = 12  # one delay in four is only a yield: all of them with (1/4) ** 12


@pytest.fixture
def used(arena):
    arena.native.sit("test")
    before = probe.use(arena)
    yield arena
    probe.use(before)


def seconds(action) -> float:
    began = time.perf_counter()
    for _ in range(ROUNDS):
        action()
    return time.perf_counter() - began


def seat_of(arena):
    return native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(arena.native.seat()))


def random_state(arena):
    return seat_of(arena).random


# --- points


def test_without_an_arena_a_point_is_nothing():
    assert probe.current() is None

    probe.point("nowhere", 7)


def test_a_point_goes_to_the_arena_in_use(used):
    probe.record(used)
    other = probe.use(None)
    probe.point("lost")
    assert other == used

    probe.use(used)
    probe.point("here", 7)

    assert probe.current() == used
    (event,) = probe.events(used, used.native.seat())
    assert (event.kind, event.name, event.object, event.site) == ("point", "here", 7, None)


def test_a_child_of_fork_uses_its_parents_arena(used, actors):
    probe.record(used)

    def child(me):
        probe.point("child")
        me.say([event.name for event in probe.events(used, used.native.seat())])

    actor = actors.actor(child)
    actor.expect("['child']")
    actor.end()


def test_nothing_is_recorded_unless_it_is_switched_on(used):
    with used.mutex("lock"):
        probe.point("here")
    assert probe.events(used, used.native.seat()) == []

    probe.record(used)
    probe.record(used, False)
    probe.point("here")

    assert probe.events(used, used.native.seat()) == []


# --- the recorder


def test_the_recorder_tells_what_a_thread_did_where_and_when(used):
    lock, chan = used.mutex("lock"), used.channel("bell")
    probe.record(used)
    began = used.native.now()

    used.native.begin("step", 3)
    with lock:
        line = sys._getframe().f_lineno - 1
        chan.wakeup()
    lock.acquire()
    chan.sleep(lock, "nap", timeout=0)
    used.native.end()

    events = probe.events(used, used.native.seat())
    assert [event.kind for event in events] == [
        "begin", "acquire", "wakeup", "release", "acquire", "sleep", "release", "woken", "end",
    ]  # fmt: skip
    assert (events[0].name, events[0].object, events[0].site) == ("step", 3, None)
    assert events[1].object == lock.offset
    assert events[1].site is not None
    assert events[1].site[1] == line
    assert events[2].object == chan.offset
    assert events[-1].name == "step"
    times = [event.when for event in events]
    assert times == sorted(times)
    assert began <= times[0]


def test_a_failed_try_and_a_wait_are_events_too(used, actors):
    lock = used.mutex("lock")
    probe.record(used)

    def loser(me):
        assert not lock.try_acquire()
        assert not lock.acquire(timeout=0.01)
        me.say([event.kind for event in probe.events(used, used.native.seat())])

    with lock:
        actors.actor(loser).expect("['try_failed', 'wait']")


def test_the_ring_keeps_the_last_ones_oldest_first_and_only_whole_ones(used):
    probe.record(used)
    for i in range(5):
        probe.point("p", i)
    assert [event.object for event in probe.events(used, used.native.seat())] == [0, 1, 2, 3, 4]

    size = _native.CONSTANTS["RING"]
    for i in range(5, 3 * size):
        probe.point("p", i)

    # The oldest of the ring may be about to be overwritten, so it is not shown.
    assert [event.object for event in probe.events(used, used.native.seat())] == list(
        range(2 * size + 1, 3 * size)
    )


def test_named_points_are_remembered_when_locks_have_driven_them_out(used):
    lock = used.mutex("lock")
    probe.record(used)
    probe.point("before", 7)
    for _ in range(_native.CONSTANTS["RING"]):
        with lock:
            pass

    assert not any(event.name for event in probe.events(used, used.native.seat()))
    assert [(event.name, event.object) for event in probe.points(used, used.native.seat())] == [("before", 7)]

    size = _native.CONSTANTS["POINTS"]
    for i in range(2 * size):
        probe.point("p", i)
    assert [event.object for event in probe.points(used, used.native.seat())] == list(
        range(size + 1, 2 * size)
    )


def test_the_events_of_another_process_are_read_from_outside(used, actors):
    probe.record(used)

    def body(me):
        used.native.sit("other")
        probe.point("there", 1)
        me.say(used.native.seat())
        me.hear("end")

    actor = actors.actor(body)
    seat = int(actor.listen())
    assert [event.name for event in probe.events(used, seat)] == ["there"]
    actor.kill()

    assert [event.name for event in probe.events(used, seat)] == ["there"]


# --- noise


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_written_into_the_header(used, name):
    chosen = probe.noise(used, name, seed=42)

    assert chosen is PROFILES[name]
    header = used.header
    assert tuple(header.noise_chance[: C["NOISE_PLACES"]]) == chosen.chances
    assert (header.noise_sleep_ns, header.noise_seed) == (chosen.sleep_ns, 42)
    assert header.noise_turn == chosen.turn
    assert bool(used.native.mode & C["NOISE"]) == (name != "none")


def test_the_placed_profile_is_the_measured_one_and_light_a_tenth_of_it():
    placed, light = PROFILES["placed"], PROFILES["light"]

    assert placed.next_lock == ALWAYS // 2
    assert placed.sleep_ns == 50_000
    assert placed.next_lock == max(placed.chances)
    assert [round(chance / 10) for chance in placed.chances] == list(light.chances)


def test_noise_comes_and_goes_without_touching_the_recorder(used):
    probe.record(used)
    probe.noise(used, "placed")
    probe.noise(used, "none")

    assert used.native.mode == C["RECORD"]


def test_an_unknown_profile_is_refused(used):
    with pytest.raises(BadInput, match=f"no noise profile 'loud': there are {', '.join(PROFILES)}"):
        probe.noise(used, "loud")


def take(*locks):
    def action():
        for lock in locks:
            lock.acquire()
        for lock in locks:
            lock.release()

    return action


PLACES = {
    "next_lock": lambda arena: (take(arena.mutex("a"), arena.mutex("b")), take(arena.mutex("a"))),
    "after_release": lambda arena: (take(arena.mutex("a")), lambda: arena.mutex("a").locked()),
    "before_wakeup": lambda arena: (arena.channel("c").wakeup, take(arena.mutex("a"), arena.rwlock("b"))),
    "before_sleep": lambda arena: (
        lambda: arena.channel("c").block(0, "nap", timeout=0),
        arena.channel("c").wakeup,
    ),
    "point": lambda arena: (lambda: arena.native.point("here"), take(arena.mutex("a"), arena.mutex("b"))),
}


@pytest.mark.parametrize("place", PLACES)
def test_delays_come_at_their_place_and_nowhere_else(used, place):
    delayed, free = PLACES[place](used)
    delayed()
    free()
    probe.noise(used, Profile(**{place: ALWAYS}, sleep_ns=LONG_NS))

    before = random_state(used)
    seconds(free)
    assert random_state(used) == before, "a decision was made where none belongs"

    assert seconds(delayed) >= LONG_NS / 1e9
    assert random_state(used) != before


def test_the_same_seed_makes_the_same_decisions(used):
    def states(seed):
        probe.noise(used, Profile(point=1000), seed)
        found = []
        for _ in range(20):
            used.native.point("here")
            found.append(random_state(used))
        return found

    first = states(1)

    assert states(1) == first
    assert states(2) != first
    assert len(set(first)) == 20


def test_a_seats_delays_change_by_phases_of_the_run(used):
    """Each seat draws a speed and keeps it for some places: fast ones overtake, slow ones are overtaken."""
    probe.noise(used, Profile(point=ALWAYS // 2, sleep_ns=0, turn=10), seed=5)
    seat = seat_of(used)
    kept, speeds, last = [0], set(), None
    for _ in range(2000):
        used.native.point("here")
        speeds.add(seat.noise_speed)
        if seat.noise_speed == last:
            kept[-1] += 1
        else:
            kept.append(1)
        last = seat.noise_speed

    assert speeds == {0, 1, 2, 3}
    assert 2000 / 40 < len(kept) < 2000 / 5, "ten places in the mean, and perhaps the same speed again"


def test_chances_are_kept(used):
    probe.noise(used, Profile(point=ALWAYS // 2, sleep_ns=100_000), seed=3)
    took = seconds(lambda: [used.native.point("here") for _ in range(20)])

    # 240 points, half of them delayed, three quarters of those by a sleep: 90 sleeps.
    assert took >= 60 * 100e-6


def test_mixed_noise_has_another_profile_in_every_epoch():
    first = [probe.in_epoch("mixed", epoch) for epoch in range(3)]

    assert first == ["none", "placed", "turns"]
    assert [probe.in_epoch("mixed", epoch) for epoch in range(3, 6)] == first
    assert {probe.in_epoch("heavy", epoch) for epoch in range(5)} == {"heavy"}
