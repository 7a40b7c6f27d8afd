"""Seeded delays, placed where they pay.

A delay between "holds a lock" and "takes the next" made a cross-process AB-BA hang in
451 of 900 rounds; the same delay before the first acquire in none.  So the chances are
given per place, and the place that matters most has the highest one.
"""

from dataclasses import dataclass

from harness import _native
from harness.errors import BadInput
from harness.shm.arena import Arena

_C = _native.CONSTANTS


@dataclass(frozen=True)
class Profile:
    """Chances out of 65536 by place, and how long a delay lasts (one in four is only a yield)."""

    next_lock: int = 0  # holding a lock, about to take another
    before_sleep: int = 0  # the condition was tested, the sleep has not begun
    before_wakeup: int = 0  # the condition was changed, no sleeper is woken yet
    after_release: int = 0
    point: int = 0  # named points of the program
    sleep_ns: int = 0
    turn: int = 0  # places until a seat draws another speed, in the mean; 0: all are alike

    @property
    def chances(self) -> tuple[int, ...]:
        """In the order of the C core's hd_noise_place."""
        return (self.next_lock, self.before_sleep, self.before_wakeup, self.after_release, self.point)


PROFILES = {
    "none": Profile(),
    "light": Profile(3277, 1638, 1638, 819, 819, 50_000),  # a tenth of "placed"
    "placed": Profile(32768, 16384, 16384, 8192, 8192, 50_000),  # the measured one: p = 0.5, 50 us
    "turns": Profile(32768, 16384, 16384, 8192, 8192, 50_000, turn=500),
    "heavy": Profile(49152, 32768, 32768, 16384, 16384, 1_000_000),
}

ROUNDS = {"mixed": ("none", "placed", "turns")}  # one after the other, epoch by epoch
NAMES = (*PROFILES, *ROUNDS)


def in_epoch(chosen: str | Profile, epoch: int) -> str | Profile:
    """The profile that holds in an epoch of a run.

    No kind of delay is best for every race, and each kind hides some: what one epoch misses, the
    next may find.
    """
    turns = ROUNDS.get(chosen) if isinstance(chosen, str) else None
    return turns[epoch % len(turns)] if turns else chosen


def noise(arena: "Arena", profile: str | Profile = "placed", seed: int = 0) -> Profile:
    """Switch delays on (or off: ``none``) for every process in the arena, from now on.

    The same seed gives each seat the same sequence of decisions again.  BadInput for an
    unknown profile.  Returns the profile.
    """
    chosen = profile if isinstance(profile, Profile) else PROFILES.get(profile)
    if chosen is None:
        raise BadInput(f"no noise profile {profile!r}: there are {', '.join(PROFILES)}", "hangdog run --help")
    arena.native.set_noise(chosen.chances, chosen.sleep_ns, seed & 0xFFFFFFFFFFFFFFFF, chosen.turn)
    off = arena.native.mode & ~_C["NOISE"]
    arena.native.mode = off | (_C["NOISE"] if any(chosen.chances) else 0)
    return chosen
