"""What runs inside a worker process.

Order: tie to the supervisor, close others' pipes, take a seat, prepare, say ready, wait
for go, work, leave the seat, send the outcome.  Guarantees: whatever the role does
short of killing the process, its outcome is sent; a seat that holds no lock is given back.

SIGTERM raises WorkerStopped in the main thread, once, wherever it is; never in the middle of a
message, and not any more when the outcome is on its way.
"""

import _weakrefset
import os
import sys
import threading
import weakref
from contextlib import suppress
from types import FrameType
from typing import Any

import dill

from harness import _native, probe
from harness.run import messages, process_control
from harness.run.barrier import Barrier, Row
from harness.run.context import WorkerContext, WorkerStopped
from harness.run.exception_report import describe, place
from harness.run.messages import PeerGone, Wire
from harness.run.post import Launch, Post
from harness.watch import bystanders, stacks

_C = _native.CONSTANTS
_CALLBACKS = frozenset({weakref.__file__, _weakrefset.__file__})


class Stopper:
    """SIGTERM turned into an exception, at a moment when it does no harm."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.asked = self.done = False

    def __call__(self, _signal: int, frame: FrameType | None) -> None:
        """The handler.  A message that is half out would swallow the ones after it."""
        self.asked = True
        if any(wire.sending for wire in self.wires):
            return
        if swallows(frame):
            sys.setprofile(self._behind)
        else:
            self.raise_if_asked()

    def _behind(self, frame: FrameType, _event: str, _arg: object) -> None:
        """As soon as something is called or left outside of what swallows exceptions."""
        if not swallows(frame):
            sys.setprofile(None)
            self.raise_if_asked()

    def raise_if_asked(self) -> None:
        """Raise once."""
        if self.asked and not self.done:
            self.done = True
            raise WorkerStopped


def swallows(frame: FrameType | None) -> bool:
    """Is this within a destructor or a weak reference's callback, whose exceptions are printed and lost?"""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename in _CALLBACKS:
            return True
        frame = frame.f_back
    return False


def main(launch: Launch) -> None:
    """A worker process: one role, or in thread mode all of them."""
    process_control.die_with_parent(launch.parent)
    for fd in launch.foreign:
        os.close(fd)
    stopper = Stopper()
    process_control.install_handlers(process_control.ignore, stopper)
    arena = launch.plan.arena
    probe.use(arena)
    crew = [Worker(launch, post, Wire(connection)) for post, connection in launch.posts]
    stopper.wires = [worker.wire for worker in crew]
    if launch.plan.mode == "process":
        crew[0].serve(stopper)
        return
    stopper.done = True  # no thread but this one could be interrupted, and this one only waits
    threads = [threading.Thread(target=worker.serve, name=worker.post.name) for worker in crew]
    bystanders.register(arena)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arena.native.leave()


class Worker:
    """One seat and one role."""

    def __init__(self, launch: Launch, post: Post, wire: Wire) -> None:
        self.plan, self.post, self.wire = launch.plan, post, wire
        self.arena = launch.plan.arena
        self.gate = Barrier(self.arena)
        self.ready = False

    def serve(self, stopper: Stopper | None = None) -> None:
        """The whole life; the outcome is sent whatever happens.  Only PeerGone is silent."""
        word: tuple[Any, ...]
        try:
            self._work()
            word = ("passed",)
        except PeerGone:  # no peer is left to tell
            return
        except WorkerStopped as stop:
            word = ("stopped", place(stop))
        except BaseException as error:  # noqa: BLE001 - the outcome is the answer, also of sys.exit
            if stopper:
                stopper.done = True
            # Before it is ready it is no part of the run: the supervisor says what that means.
            asked = bool(stopper and stopper.asked)
            told = self.ready and self.plan.watch is not False and not asked
            word = ("failed", describe(error, self.arena, report=told), asked)
        if stopper:
            stopper.done = True
        steps = self._leave()
        try:
            self.wire.send((messages.OUTCOME, steps, *word))
        except PeerGone:
            return

    def _work(self) -> None:
        post, row = self.post, self.gate.rows[self.post.number]
        context = WorkerContext(self.arena, self.gate, post, self.wire, self.plan.seed)
        context.audit, context.watched = self.plan.audit, self.plan.watch is not False
        context.seat = self.arena.native.sit(post.name)
        row.pid, row.service, row.seat = os.getpid(), int(post.spec.service), context.seat
        row.state = Row.RUNNING
        stacks.enable(self.arena)
        if post.spec.prepare:
            context.prepared = post.spec.prepare(context)
        self.wire.send((messages.READY, context.seat, threading.get_native_id()))
        self.ready = True
        # Parked, not running: a watchdog must not miss its steps.
        self.arena.native.set_activity(_C["PARKED"])
        word = self.wire.wait()[0]
        self.arena.native.set_activity(_C["RUNNING"])
        if word != messages.GO:
            raise WorkerStopped
        while True:
            post.spec.function(context, *post.spec.args)
            if not context._next_epoch(returned=True):
                return

    def _leave(self) -> int:
        """Give the seat back, but not with a lock: then it is the evidence.  Steps completed."""
        row = self.gate.rows[self.post.number]
        if not row.seat:
            return 0
        steps = int(self.gate.seat(row.seat).steps)
        row.steps, row.state = steps, Row.GONE
        if not self.arena.native.depth():
            self.arena.native.leave()
        return steps


def helper_main(launch: Launch, function: Any, wants_context: bool) -> None:
    """A short-lived process of its own for an audit or a service's stop: the supervisor takes no lock."""
    process_control.die_with_parent(launch.parent)
    for fd in launch.foreign:
        os.close(fd)
    stopper = Stopper()
    process_control.install_handlers(process_control.ignore, stopper)
    (post, connection) = launch.posts[0]
    wire, arena = Wire(connection), launch.plan.arena
    stopper.wires = [wire]
    probe.use(arena)
    word: tuple[Any, ...]
    try:
        context = WorkerContext(arena, Barrier(arena), post, wire, launch.plan.seed)
        context.seat = arena.native.sit(post.name)
        stacks.enable(arena)
        wire.send((messages.READY, context.seat, threading.get_native_id()))
        context.epoch = wire.wait()[1]
        word = ("value", dill.dumps(function(context) if wants_context else function()))
    except (PeerGone, WorkerStopped):
        return
    except BaseException as error:  # noqa: BLE001 - the same
        word = ("failed", describe(error, arena, report=launch.plan.watch is not False))
    stopper.done = True
    if not arena.native.depth():
        arena.native.leave()
    with suppress(PeerGone):  # a killed supervisor's pipes close before the signal that ends us comes
        wire.send((messages.AUDITED, *word))
