"""harness.locks: locks in shared memory that know who holds them."""

from harness.locks.channel import Channel as Channel
from harness.locks.mutex import Mutex as Mutex
from harness.locks.ranks import LockClass as LockClass
from harness.locks.rwlock import RwLock as RwLock
