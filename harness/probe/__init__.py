"""harness.probe: named points, placed delays, the flight recorder."""

from harness.probe.current import current as current
from harness.probe.current import point as point
from harness.probe.current import use as use
from harness.probe.events import POINTS_KEPT as POINTS_KEPT
from harness.probe.events import Event as Event
from harness.probe.events import events as events
from harness.probe.events import points as points
from harness.probe.events import record as record
from harness.probe.noise import NAMES as NAMES
from harness.probe.noise import PROFILES as PROFILES
from harness.probe.noise import Profile as Profile
from harness.probe.noise import in_epoch as in_epoch
from harness.probe.noise import noise as noise
