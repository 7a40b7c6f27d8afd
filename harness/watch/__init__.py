"""harness.watch: who holds what, who waits, and whether that will ever end."""

from harness.outcome import Finding as Finding
from harness.watch.records import Dump as Dump
from harness.watch.records import RunMeta as RunMeta
from harness.watch.watchdog import Watchdog as Watchdog
