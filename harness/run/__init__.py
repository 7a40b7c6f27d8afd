"""harness.run: workers, their supervisor, the barrier between epochs, and the results."""

from harness.run.context import WorkerContext as WorkerContext
from harness.run.errors import RunFailed as RunFailed
from harness.run.errors import Shortage as Shortage
from harness.run.errors import SupervisorDied as SupervisorDied
from harness.run.errors import SupervisorFailed as SupervisorFailed
from harness.run.errors import WatchdogDied as WatchdogDied
from harness.run.faults import Faults as Faults
from harness.run.plan import STOP_ON as STOP_ON
from harness.run.plan import RoleSpec as RoleSpec
from harness.run.plan import derive_seed as derive_seed
from harness.run.session import Session as Session
