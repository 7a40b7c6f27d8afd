"""harness.shm: the arena, its tables and pools."""

from harness.shm.arena import Arena as Arena
from harness.shm.pool import Pool as Pool
from harness.shm.table import Table as Table
