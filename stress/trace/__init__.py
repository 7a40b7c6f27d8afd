"""strace logs of real programs: parse, plan, touch.  (Names only; see the modules.)"""

from stress.ops.address_map import AddressMap, Range
from stress.trace.build import build_plan, plan_trace
from stress.trace.errors import TraceError
from stress.trace.parse import Event, Kind, parse_lines, parse_trace
from stress.trace.plan import FileInfo, Plan, Task
from stress.trace.shipped import NAMES, shipped
from stress.trace.touch import TouchModel

__all__ = [
    "NAMES",
    "AddressMap",
    "Event",
    "FileInfo",
    "Kind",
    "Plan",
    "Range",
    "Task",
    "TouchModel",
    "TraceError",
    "build_plan",
    "parse_lines",
    "parse_trace",
    "plan_trace",
    "shipped",
]
