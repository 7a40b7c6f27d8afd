"""The watchdog's process: made before the workers are let go, restarted once when it is killed.

It has its own pipe to the supervisor; a finding is sent the moment its dump is on disk.
A second death is the end of the run: a run without a watchdog would report "nothing found",
which would mean nothing.
"""

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.outcome import Finding
from harness.run import messages, process_control
from harness.run.barrier import Barrier
from harness.run.messages import PeerGone, Wire
from harness.run.plan import RunPlan
from harness.watch.detectors.judge import Limits
from harness.watch.records import RunMeta
from harness.watch.snapshot import Reader
from harness.watch.watchdog import Watchdog

if TYPE_CHECKING:
    from harness.run.workers import ChildProcess, Crew
    from harness.shm.arena import Arena

MOST_RESTARTS = 1


@dataclass(frozen=True)
class Post:
    """What the forked process needs."""

    parent: int
    plan: RunPlan
    connection: Any
    foreign: tuple[int, ...]
    restart: int
    dead_before: frozenset[int]  # ids of seats


def meta_of(plan: RunPlan) -> RunMeta:
    """Where a dump of this run comes from."""
    return RunMeta(seed=plan.seed, scenario=plan.scenario, reproduce=plan.reproduce)


def folder_of(plan: RunPlan, restart: int = 0) -> Path | None:
    """Where dumps go.  A second watchdog counts from one again and must not overwrite."""
    if not plan.dump_dir:
        return None
    return Path(plan.dump_dir) / f"watchdog-{restart + 1}" if restart else Path(plan.dump_dir)


def main(post: Post) -> None:
    """The process."""
    process_control.die_with_parent(post.parent)
    for fd in post.foreign:
        os.close(fd)
    # Ctrl-C reaches every process of the terminal; when we end is the supervisor's word.
    process_control.install_handlers(process_control.ignore, process_control.ignore)
    wire = Wire(post.connection)

    def tell(found: Finding) -> None:
        wire.send((messages.NOTICE if found.notice else messages.FINDING, found))

    make = maker_of(post.plan, post.dead_before)
    with suppress(PeerGone):
        try:
            watchdog = make(post.plan.arena, folder_of(post.plan, post.restart), meta_of(post.plan), tell)
            watchdog.scan()  # from the first look on a thread that reports misuse waits until it is seen
            wire.send((messages.READY,))
            words: list[messages.Message] = []

            def over() -> bool:
                words.extend(wire.receive())
                return bool(words) or wire.ended

            watchdog.run(over)
            for word, *rest in words:
                if word == messages.QUIET:
                    be_quiet(watchdog, wire, settle=rest[0])
        except PeerGone:
            raise
        except Exception as error:  # noqa: BLE001 - its text is all that can still be sent
            wire.send((messages.ERROR, f"{type(error).__name__}: {error}", traceback.format_exc()))


def maker_of(plan: RunPlan, dead_before: frozenset[int]) -> Callable[..., Any]:
    """The watchdog with the run's limits; a maker of the caller's own has those that it chose."""
    if plan.watch is True:
        keeper = Barrier(plan.arena).keeper
        return partial(Watchdog, limits=Limits(**plan.limits), dead_before=dead_before, gatekeeper=keeper)
    make: Callable[..., Any] = plan.watch
    return make


def dead_seats(arena: "Arena") -> frozenset[int]:
    """Ids of the seats whose threads are dead already.  No thread works in the arena yet."""
    reader = Reader(arena)
    return frozenset(int(row.id) for row in reader.live() if reader.dead(row.number))


def be_quiet(watchdog: Any, wire: Wire, settle: bool) -> None:
    """From here on the supervisor ends processes, and what that looks like is no news.

    With ``settle`` one last look: a notice that still holds is a finding.  Returns when it is over.
    """
    if settle:
        watchdog.settle_notices()
    wire.send((messages.QUIET,))
    wire.wait()


class Watcher:
    """The supervisor's handle."""

    def __init__(self, plan: RunPlan, crew: "Crew") -> None:
        self.plan, self.crew = plan, crew
        self.body: ChildProcess | None = None
        self.wire: Wire | None = None
        self.restarts = 0
        self.ready = False
        self.quiet = False  # it has said that it judges no more
        self.trouble = ""  # what it said last, if it failed by an error of its own
        self.dead_before = dead_seats(plan.arena)  # what they hold is no news of this run

    def start(self, foreign: tuple[int, ...]) -> None:
        """Fork it; it says ready over its pipe.  ``foreign``: descriptors that it must not keep."""
        ours, theirs = self.crew.context.Pipe()
        post = Post(
            os.getpid(), self.plan, theirs, (*foreign, ours.fileno()), self.restarts, self.dead_before
        )
        self.body = self.crew.spawn(main, (post,), "watchdog")
        self.wire = Wire(ours)
        self.ready = self.quiet = False
        theirs.close()

    def hush(self, settle: bool) -> None:
        """Ask it to judge no more; see ``be_quiet``."""
        if self.wire is not None:
            self.wire.post((messages.QUIET, settle))

    def stop(self) -> None:
        """Say that it is over."""
        if self.wire is not None:
            self.wire.post((messages.STOP,))
