"""Fronts for the tests of harness.run: single-threaded programs, one scene each.

Each prints what the test needs to know on lines of its own and, at the end, what came of
the run.  The first line says ``supervisor=PID`` and the pids of the workers, when all work.
"""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

from harness.errors import HarnessError
from harness.outcome import Progress, RunResult
from harness.run import RoleSpec, Session, WorkerContext

PR_SET_PDEATHSIG = 1


def work(context: WorkerContext) -> None:
    context.send((os.getpid(), os.getppid()))
    while not context.should_stop():
        with context.step("turn"), context.arena.mutex("only", context.index):
            pass


def deaf(context: WorkerContext) -> None:
    """Never looks whether it should stop."""
    while True:
        with context.step("turn"):
            pass


def say_when_running(session: Session):
    said: list[int] = []

    def look(progress: Progress) -> None:
        if not said and progress.state == "running" and progress.steps > 100:
            from harness.shm.roster import Roster

            rows = [row for row in Roster(session.arena).rows() if row.role.startswith("worker")]
            if len(rows) == session.workers and all(row.steps for row in rows):
                parent = Path(f"/proc/{rows[0].pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
                pairs = [f"supervisor={parent}"] + [f"w{i}={row.pid}" for i, row in enumerate(rows)]
                print(*pairs, flush=True)
                said.append(1)

    return look


def show(result: RunResult) -> None:
    names = ",".join(type(outcome).__name__ for outcome in result.outcomes)
    print(f"ended_by={result.ended_by} interrupted={result.interrupted} outcomes={names}", flush=True)
    print(f"findings={[f.verdict for f in result.findings]} steps={result.steps > 0}", flush=True)


def scene_work() -> None:
    with Session(workers=3) as session:
        show(session.run(work, epochs=None, on_progress=say_when_running(session)))


def scene_deaf() -> None:
    with Session(workers=2, grace_s=0.2) as session:
        show(session.run(deaf, on_progress=say_when_running(session)))


def scene_very_deaf() -> None:
    with Session(workers=2, grace_s=60.0) as session:
        show(session.run(deaf, on_progress=say_when_running(session)))


def scene_thread_mode() -> None:
    with Session(workers=3, mode="thread") as session:
        show(session.run(work, epochs=None, on_progress=say_when_running(session)))


def how_started(context: WorkerContext) -> None:
    context.send(Path(f"/proc/{os.getppid()}/cmdline").read_bytes())


def scene_start_method() -> None:
    """Fork as long as we are alone, spawn when we are not; closures travel both ways."""
    factor = 7
    roles = [
        RoleSpec("named", how_started),
        RoleSpec("lambda", lambda context, n: context.send(n * factor), (6,)),
    ]
    release = threading.Event()
    for _ in range(2):
        with Session() as session:
            result = session.run_roles(roles)
        spawned = b"spawn_main" in result.values("named")[0]
        print(f"spawned={spawned} answer={result.values('lambda')}", flush=True)
        threading.Thread(target=release.wait, daemon=True).start()
    release.set()


def scene_grandchild() -> None:
    """A role leaves a process behind: it is ended with the run."""

    def leave_one(context: WorkerContext) -> None:
        if os.fork() == 0:
            signal.pause()
            os._exit(0)

    with Session(workers=1) as session:
        result = session.run(leave_one)
    print(f"incidents={len(result.incidents)} ok={result.ok}", flush=True)


def scene_patient() -> None:
    """The time is up, and the audit may take its time: until the run is interrupted."""

    def audit(context: WorkerContext) -> None:
        print("auditing", flush=True)
        while not context.should_stop():
            pass
        while True:
            pass

    def nothing(context: WorkerContext) -> None:
        pass

    with Session(workers=1, time_limit_s=0.05, grace_s=60.0) as session:
        show(session.run(nothing, audit=audit))


def scene_orphaned_audit() -> None:
    """The supervisor is killed, its pipes are closed, and the signal that ends its audit with it is late."""

    def audit(context: WorkerContext) -> None:
        assert ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0) == 0
        supervisor = os.getppid()
        os.kill(supervisor, signal.SIGKILL)
        while os.getppid() == supervisor:
            os.sched_yield()

    with Session(workers=1) as session:
        show(session.run(lambda _: None, audit=audit))


def main() -> int:
    try:
        globals()[f"scene_{sys.argv[1]}"]()
    except HarnessError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        print("KeyboardInterrupt", flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
