"""The shipped traces, read once per worker, and a way to write small logs."""

from functools import cache

import pytest

from stress.trace import Event, Plan, build_plan, parse_lines, parse_trace, shipped


@cache
def shipped_events(name: str) -> list[Event]:
    return parse_trace(shipped(name))


@cache
def shipped_plan(name: str) -> Plan:
    return build_plan(shipped_events(name), name)


@pytest.fixture
def events_of():
    """The events of a shipped trace."""
    return shipped_events


@pytest.fixture
def plan_of():
    """The plan of a shipped trace."""
    return shipped_plan


@pytest.fixture
def log():
    """Events of lines given without times: each gets its line number as its second."""

    def read(*lines: str) -> list[Event]:
        timed = [f"{line.split(' ', 1)[0]} {n}.5 {line.split(' ', 1)[1]}" for n, line in enumerate(lines, 1)]
        return list(parse_lines(timed, "log"))

    return read


@pytest.fixture
def plan(log):
    """The plan of lines given without times."""
    return lambda *lines, **options: build_plan(log(*lines), "log", **options)
