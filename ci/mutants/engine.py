"""One mutant at a time: copy the tree, put the error in, build, try, say which check noticed.

Guarantees: the tree itself is never written to; every command has a limit; when a mutant is
done, its directory, its process group and everything that it started are gone.  Refuses to
count anything if the unchanged tree does not pass its own tries: a check that is red without
a mutant would kill every one of them.

    Mutant        what is changed, and the argument if nothing can notice it
    Command       a build or a try: a mutant is killed by the first try that does not end with 0
    Suite         the mutants of one part of the tree, what to copy, how to build, what to try
    run           all of that; yields a Result for each mutant as it is done
"""

import contextlib
import ctypes
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TAIL = 400  # characters of a killer's output that are kept


class CannotMutate(Exception):
    """The table or the unchanged tree is wrong: what, and what to type."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)  # both: it comes back from another process
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Mutant:
    """A deliberate error: `old`, which must occur exactly once, becomes `new`.

    file    relative to the root; a glob ("harness/locks/native/*.c") means: in whichever of them `old` is
    also    further changes (file, old, new) of the same error
    equivalent  why nothing can notice it; empty: it must be killed
    """

    name: str
    file: str
    old: str
    new: str
    equivalent: str = ""
    also: tuple[tuple[str, str, str], ...] = ()

    def changes(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.file, self.old, self.new), *self.also)


@dataclass(frozen=True)
class Command:
    """What to run in the copy, and after how many seconds it counts as hung.

    {root} in an argument is the copy.  `env` is added to the environment.
    """

    name: str
    argv: tuple[str, ...]
    limit: float = 120.0
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Suite:
    """Mutants that are built and tried in the same way.

    copy    files and folders of the root that the copy needs (globs allowed)
    build   run in the unchanged copy, and again in each mutant's, where only what changed need be built
    tries   in this order, the quickest first; a function of the mutant where not all pay for all
    linked  folders of the copy that no mutant changes and no build writes to: all share one
    """

    name: str
    mutants: tuple[Mutant, ...]
    copy: tuple[str, ...]
    tries: Callable[[Mutant], Sequence[Command]]
    build: Sequence[Command] = ()
    linked: tuple[str, ...] = ()


@dataclass
class Result:
    """killed by `by`; survived; or not made: `old` is not there once, or it does not compile."""

    mutant: Mutant
    status: str  # "killed", "survived", "not made"
    by: str = ""
    seconds: float = 0.0
    evidence: str = ""
    tried: list[str] = field(default_factory=list)


def run(
    suite: Suite,
    mutants: Sequence[Mutant],
    jobs: int,
    done_before: Mapping[str, Sequence[str]] | None = None,
    most: int = 0,
) -> Iterator[Result]:
    """Try each of the mutants in `jobs` copies at a time; yield results in the order they come.

    done_before  tries by name that a mutant has survived before, and that are left out; the
                 unchanged tree has passed then, and is not asked again
    most         at most so many tries of each (0: all)
    Raises CannotMutate if the unchanged tree does not build or fails a try.
    """
    with tempfile.TemporaryDirectory(prefix="hangdog-mutants-") as where:
        clean = Path(where, "clean")
        copy_tree(suite, ROOT, clean)
        with ProcessPoolExecutor(
            1, initializer=reap_orphans
        ) as pool:  # a process of its own, to end what it leaves
            pool.submit(check_unchanged, suite, clean, done_before is None).result()
        with ProcessPoolExecutor(jobs, initializer=reap_orphans) as pool:
            waiting = {
                pool.submit(
                    try_one,
                    suite,
                    mutant,
                    clean,
                    Path(where, str(n)),
                    (done_before or {}).get(mutant.name, ()),
                    most,
                )
                for n, mutant in enumerate(mutants)
            }
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                for future in waiting:
                    future.cancel()
                if not all(future.done() for future in waiting):  # interrupted: do not wait for the rest
                    for worker in multiprocessing.active_children():
                        worker.terminate()


def copy_tree(suite: Suite, root: Path, to: Path) -> None:
    """Copy what the suite needs, times of change included: a build then knows what is new, and Python too."""
    for pattern in suite.copy:
        found = list(root.glob(pattern))
        if not found:
            raise CannotMutate(f"{suite.name}: there is no {pattern} in {root}", "git status")
        for source in found:
            target = to / source.relative_to(root)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def check_unchanged(suite: Suite, clean: Path, try_it: bool = True) -> None:
    tries = suite.tries(Mutant("unchanged", "", "", "")) if try_it else ()
    for command in (*suite.build, *tries):
        ended, output = execute(command, clean)
        if ended != 0:
            raise CannotMutate(
                f"{suite.name}: without any mutant {command.name} ends with {ended}:\n{output[-TAIL * 5 :]}",
                " ".join(command.argv).replace("{root}/", ""),
            )


def try_one(
    suite: Suite, mutant: Mutant, clean: Path, here: Path, before: Sequence[str] = (), most: int = 0
) -> Result:
    """Make one mutant in a copy of its own, build and try it; the copy is removed."""
    began = time.monotonic()
    result = Result(mutant, "survived")
    try:
        shutil.copytree(clean, here, symlinks=True, ignore=lambda _, names: set(names) & set(suite.linked))
        for name in suite.linked:
            (here / name).symlink_to(clean / name)
        if why := apply(mutant, here):
            return Result(mutant, "not made", evidence=why)
        for command in suite.build:
            ended, output = execute(command, here)
            if ended != 0:
                return Result(
                    mutant, "not made", evidence=f"{command.name} ends with {ended}: {output[-TAIL:]}"
                )
        tries = [command for command in suite.tries(mutant) if command.name not in before]
        for command in tries[: most or None]:
            ended, output = execute(command, here)
            result.tried.append(command.name)
            if ended != 0:
                result.status, result.by = "killed", command.name
                result.evidence = f"no end within {command.limit:g} s" if ended is None else output[-TAIL:]
                break
    finally:
        shutil.rmtree(here, ignore_errors=True)
        result.seconds = time.monotonic() - began
    return result


def apply(mutant: Mutant, root: Path) -> str:
    """Change the files of the copy; return what is wrong with the mutant, or nothing."""
    for pattern, old, new in mutant.changes():
        hits = [(path, path.read_text()) for path in sorted(root.glob(pattern))]
        hits = [(path, text) for path, text in hits if old in text]
        count = sum(text.count(old) for _, text in hits)
        if count != 1 or old == new:
            return f"{pattern}: found {count} times, must be once: {old.strip()[:120]!r}"
        path, text = hits[0]
        path.write_text(text.replace(old, new))
    return ""


# --- running --------------------------------------------------------------------


def reap_orphans() -> None:
    """In a worker: what a try leaves behind becomes its child, and all end with it and with the engine."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, end_everything)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end_everything(*_signal: object) -> None:
    for _ in range(100):
        pids = children()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)  # its own children are ours now
        if not pids:
            break
    os._exit(143)


def execute(command: Command, root: Path) -> tuple[int | None, str]:
    """Run it in root; return its status (None: it did not end in time) and the end of its output."""
    argv = [part.replace("{root}", str(root)) for part in command.argv]
    env = os.environ | {name: value.replace("{root}", str(root)) for name, value in command.env}
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(
            argv,
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            ended: int | None = started.wait(command.limit)
        except subprocess.TimeoutExpired:
            ended = None
        finally:
            end_group(started)
        output.seek(0)
        return ended, output.read().decode(errors="replace")


def end_group(started: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    for _ in range(100):  # orphans, and what they leave when they end
        pids = children()
        if not pids:
            return
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def children() -> list[int]:
    """Return the pids of this process's children, of whichever thread."""
    return [
        int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()
    ]
