"""harness.handles: the objects through which a program uses the locks that lie in the arena."""

from harness.handles.channel import Channel as Channel
from harness.handles.condition import Condition as Condition
from harness.handles.mutex import Mutex as Mutex
from harness.handles.native import Holder as Holder
from harness.handles.native import RwHolder as RwHolder
from harness.handles.native import Side as Side
from harness.handles.rwlock import RwLock as RwLock
