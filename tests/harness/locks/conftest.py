"""A small program with contracts, and the locks that it is about."""

import sys
import textwrap
from types import ModuleType, SimpleNamespace

import pytest

from harness.locks import LockClass, contract

PROGRAM = '''
from harness.locks.contract import contract

def step(vm, thing):
    """One step.

    Enter:  thing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return vm.act(thing)

def take(vm, thing):
    """
    Enter:  thing unlocked; vm.big locked (and prose; with (nested) brackets).
    Exit:   thing locked, dropped in between.
    Takes:  thing,
            big.
    Sleeps: yes (for a moment).
    """
    return vm.act(thing)

def find(vm, thing=None):
    """
    Enter:  nothing locked.
    Exit:   result locked.
    Takes:  any.
    Sleeps: never.
    """
    return vm.act(thing)

def look(vm, map):
    """
    Enter:  map read-locked.
    Exit:   map write-locked.
    Takes:  map.
    Sleeps: never.
    """
    return vm.act(map)

def quiet(vm, thing=None):
    """
    Enter:  anything.
    Exit:   anything.
    Takes:  nothing.
    Sleeps: never.
    """
    return vm.act(thing)

def noisy(vm, thing=None):
    """
    Enter:  anything.
    Exit:   same.
    Takes:  other.
    Sleeps: never.
    """
    with vm.other:
        return None

step, take, find, look, quiet, noisy = map(contract, (step, take, find, look, quiet, noisy))

def caller(vm, thing):
    return step(vm, thing)
'''
USER = "from program import step, take as renamed\n\ndef use(vm, thing):\n    return step(vm, thing)\n"


def load(name: str, source: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(textwrap.dedent(source), f"{name}.py", "exec"), vars(module))
    return module


@pytest.fixture
def seams(monkeypatch):
    """No seam but ours while the test runs; what was there comes back untouched."""
    monkeypatch.setattr(contract, "SEAMS", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in {"program", "user", "late", "swap"}:
            del sys.modules[name]


@pytest.fixture
def program(seams):
    return load("program", PROGRAM)


@pytest.fixture
def world(arena):
    """A record-like thing, a map, and what the functions do with them."""
    ids = {name: LockClass(name, may_sleep=True).declare(arena) for name in ("thing", "big", "map", "other")}
    return SimpleNamespace(
        arena=arena,
        ids=ids,
        thing=SimpleNamespace(lock=arena.mutex("thing")),
        big=arena.mutex("big"),
        map=SimpleNamespace(lock=arena.rwlock("map")),
        other=arena.mutex("other"),
        act=lambda _: "done",
    )


@pytest.fixture
def checked(program, world):
    contract.bind(True, {}, world.ids)
    yield program
    contract.unbind()
