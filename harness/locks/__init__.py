"""harness.locks: locks in shared memory that know who holds them."""

from harness.handles import Channel as Channel
from harness.handles import Condition as Condition
from harness.handles import Mutex as Mutex
from harness.handles import RwLock as RwLock
from harness.locks.ranks import LockClass as LockClass
