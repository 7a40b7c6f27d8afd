"""What a child of the supervisor keeps open: its own pipe, and none of any other process of the run."""

import os
from itertools import combinations
from pathlib import Path

import pytest

from harness.run import Session
from tests.waiting import LIMIT_S


def ends(pid):
    """Sockets (the pipes of a run are such) and watched deaths that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
            about = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
        except OSError:  # closed meanwhile, as the one that lists them is
            continue
        if target.startswith("socket:"):
            found.add(target)
        elif "pidfd" in target:
            found.add(next(line for line in about.splitlines() if line.startswith("Pid:")))
    return found


def look_at_all(_context):
    """By the audit's own process: the supervisor's ends, and those of its children, oldest first."""
    supervisor = os.getppid()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return ends(supervisor), [ends(pid) for pid in children]


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_no_process_of_a_run_keeps_a_pipe_of_another(mode):
    ours = ends(os.getpid())

    with Session(workers=2, mode=mode, time_limit_s=LIMIT_S) as session:
        result = session.run(_once, epochs=2, audit=look_at_all)

    assert (result.exit_code, len(result.audits)) == (0, 2)
    for supervisor, children in result.audits:
        children = [one - ours for one in children]
        children[0] = {
            end for end in children[0] if end.startswith("socket")
        }  # a watchdog watches deaths itself
        assert len(children) == {"process": 4, "thread": 3}[mode]  # watchdog, workers, audit
        assert len(supervisor - ours) > len(children)
        assert [one & supervisor for one in children] == [set()] * len(children)
        assert [one & other for one, other in combinations(children, 2) if one & other] == []
        assert all(children), "each has a pipe of its own"


def _once(context):
    with context.step("once"):
        pass
