"""What `with` calls on a lock: bound methods that the collector never sees, otherwise like all others."""

import gc
import inspect
import pickle
import sys
import weakref
from typing import Any

import pytest

from harness import _native
from harness.shm.arena import Arena

KINDS = ("mutex", "rwlock", "side")


@pytest.fixture(params=KINDS)
def lock(request: pytest.FixtureRequest, arena: Arena):
    if request.param == "mutex":
        return arena.mutex("m")
    rw = arena.rwlock("rw")
    return rw if request.param == "rwlock" else rw.write


def ordinary(lock: Any, name: str) -> Any:
    """The bound method that the interpreter itself would make of the same descriptor."""
    method = getattr(type(lock), name)
    descriptor: Any = type(str.join)
    return descriptor.__get__(method, lock, type(lock))


@pytest.mark.parametrize("name", ["__enter__", "__exit__"])
def test_the_collector_has_nothing_to_track(lock: Any, name: str):
    assert not gc.is_tracked(getattr(lock, name))
    assert gc.is_tracked(ordinary(lock, name))


@pytest.mark.parametrize("name", ["__enter__", "__exit__"])
def test_it_is_told_like_the_ordinary_one(lock: Any, name: str):
    method, same = getattr(lock, name), ordinary(lock, name)
    assert repr(method) == repr(same)
    assert method == same
    assert same == method
    assert method == getattr(lock, name)
    assert method != lock.locked
    assert hash(method) == hash(same)
    assert method.__name__ == name
    assert method.__self__ is lock
    assert method.__doc__ == same.__doc__
    assert issubclass(method.__class__, type(len))
    assert inspect.signature(method) == inspect.signature(same)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = method.other


def test_wrong_arguments_are_refused(lock: Any):
    with pytest.raises(TypeError, match="__enter__"):
        lock.__enter__(1)
    enter = lock.__enter__
    with pytest.raises(TypeError, match=r"__enter__\(\) takes no arguments"):
        enter(1)
    with pytest.raises(TypeError, match=r"__enter__\(\) takes no arguments"):
        enter(key=1)
    with pytest.raises(TypeError, match=r"__exit__\(\) takes no keyword arguments"):
        lock.__exit__(key=1)
    assert not lock.locked()


def test_another_object_is_refused(lock: Any):
    with pytest.raises(TypeError, match="__enter__"):
        type(lock).__enter__(object())
    with pytest.raises(TypeError, match="__enter__"):
        type(lock).__enter__.__get__(object())
    with pytest.raises(TypeError, match="harness"):
        type(lock.__enter__)()


def test_the_type_gives_its_descriptor(lock: Any):
    method = vars(type(lock)).get("__enter__") or vars(type(lock).__mro__[1])["__enter__"]
    assert type(lock).__enter__ is method
    assert inspect.ismethoddescriptor(method)
    assert inspect.isroutine(method)


def test_a_bound_method_keeps_its_lock(arena: Arena):
    class Own(_native.Mutex):  # the arena keeps its own handles
        pass

    lock = Own(arena.native, arena.mutex("kept").offset)
    alive = weakref.ref(lock)
    methods = [lock.__enter__ for _ in range(100)]  # more than the free list keeps
    before = sys.getrefcount(lock)
    del methods[1:]
    assert sys.getrefcount(lock) == before - 99
    enter: Any = methods.pop()
    del lock
    assert enter() is True
    kept: Any = alive()
    assert enter.__self__ is kept
    assert kept.held()
    kept.release()
    del kept
    del enter
    assert alive() is None


def test_no_reference_is_lost_in_a_loop(lock: Any):
    before = sys.getrefcount(lock), sys.getrefcount(type(lock).__enter__)
    for _ in range(1000):
        with lock:
            pass
    assert (sys.getrefcount(lock), sys.getrefcount(type(lock).__enter__)) == before


def test_a_subclass_may_have_its_own(arena: Arena):
    calls = []

    class Noisy(_native.Mutex):
        def __enter__(self) -> bool:
            calls.append("enter")
            return super().__enter__()

    lock = Noisy(arena.native, arena.mutex("own").offset)
    with lock:
        assert lock.locked()
    assert calls == ["enter"]
    assert not lock.locked()


def test_it_travels(arena: Arena):
    lock = arena.mutex("m")
    enter: Any = pickle.loads(pickle.dumps(lock.__enter__))
    assert enter() is True
    assert lock.holder() is not None
    enter.__self__.__exit__(None, None, None)
    assert not lock.locked()


def test_sides_that_are_made_and_dropped_lose_nothing(arena: Arena):
    lock = arena.rwlock("rw")
    kept = [lock.read for _ in range(20)]  # more than the free list keeps
    side_type = type(kept[0])
    kept.clear()
    before = sys.getrefcount(lock), sys.getrefcount(side_type)
    for _ in range(100):
        kept = [lock.read for _ in range(20)]
        assert len({id(side) for side in kept}) == 20
        assert all(side.lock is lock for side in kept)
        kept.clear()
        assert lock.read() is True
        lock.release()
    del kept
    assert (sys.getrefcount(lock), sys.getrefcount(side_type)) == before
