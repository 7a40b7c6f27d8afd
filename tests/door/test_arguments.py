"""What means nothing is refused at the call, with the argument's name and value."""

import pytest

from harness.errors import BadInput
from harness.run import Faults, RoleSpec, Session
from harness.shm import Arena


def role(_context):
    """Does nothing."""


SESSIONS: dict[str, list[object]] = {
    "workers": ["2", 0, -1, True, 1.5, None],
    "mode": ["fork", None],
    "seed": ["one", 1.5],
    "seats": [-1, "many", None],
    "arena_size": [-1, "big"],
    "name": [3],
    "scenario": [None],
    "reproduce": [3],
    "dump_dir": [3, __file__, __file__ + "/below"],
    "time_limit_s": ["x", 0, -1, float("nan"), float("inf")],
    "grace_s": ["2", 0, None],
    "linger_s": ["x", -1, float("nan")],
    "ready_limit_s": [0, None],
    "audit_limit_s": [-1],
    "stall_s": ["30", 0],
    "livelock_s": [None],
    "frozen_s": [-2],
    "faults": [1.0],
    "arena": ["a"],
    "watch": [None, 1.5],
    "stop_on": ["deadlock", 3, {"dedlock"}],
    "noise": ["loud"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SESSIONS.items() for value in values]
)
def test_a_session_refuses(name, value):
    with pytest.raises(BadInput) as caught:
        Session(**{name: value})

    assert name in str(caught.value)


def test_everything_that_a_session_takes_is_tried():
    taken = set(Session.__init__.__annotations__) - {"return"}

    assert taken == set(SESSIONS)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.run(3), "function=3"),
        (lambda s: s.run(role, name=4), "name=4"),
        (lambda s: s.run(role, epochs=0), "epochs=0"),
        (lambda s: s.run(role, epochs="1"), "epochs='1'"),
        (lambda s: s.run(role, audit=3), "audit=3"),
        (lambda s: s.run(role, audit_in="thread"), "audit_in='thread'"),
        (lambda s: s.run(role, on_progress=3), "on_progress=3"),
        (lambda s: s.run(role, time_limit_s="x"), "time_limit_s='x'"),
        (lambda s: s.run(role, services=[role]), "role="),
        (lambda s: s.run_roles([]), "role"),
    ],
)
def test_a_run_refuses(call, said):
    with Session(workers=1) as session, pytest.raises(BadInput) as caught:
        call(session)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"function": None}, "function=None"),
        ({"count": 0}, "count=0"),
        ({"count": "2"}, "count='2'"),
        ({"args": 3}, "args=3"),
        ({"stop": 3}, "stop=3"),
        ({"prepare": "x"}, "prepare='x'"),
        ({"name": ""}, "name ''"),
        ({"name": None}, "name=None"),
    ],
)
def test_a_role_refuses(given, said):
    with pytest.raises(BadInput) as caught:
        RoleSpec(**{"name": "teller", "function": role, **given})

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "given", [{"kills": "x"}, {"stops": None}, {"spare": "x"}, {"stop_s": 3}, {"most": "x"}]
)
def test_faults_refuse(given):
    (name,) = given
    with pytest.raises(BadInput, match=name):
        Faults(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": 3}, "name=3"),
        ({"name": ""}, "name ''"),
        ({"size": "1"}, "size='1'"),
        ({"seats": -1}, "seats=-1"),
        ({"seats": "x"}, "seats='x'"),
        ({"path": 3}, "path=3"),
    ],
)
def test_an_arena_refuses(given, said):
    with pytest.raises(BadInput) as caught:
        Arena.create(**{"name": "a", **given})

    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["mutex", "rwlock", "channel"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": 3}, "name=3"),
        ({"name": ""}, "name ''"),
        ({"instance": -1}, "instance=-1"),
        ({"instance": "0"}, "instance='0'"),
        ({"rank": -1}, "rank=-1"),
        ({"rank": "low"}, "rank='low'"),
        ({"may_sleep": 3}, "may_sleep=3"),
        ({"nest": "no"}, "nest='no'"),
    ],
)
def test_a_lock_refuses(arena, kind, given, said):
    with pytest.raises(BadInput) as caught:
        getattr(arena, kind)(**{"name": "a", **given})

    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["mutex", "rwlock", "channel"])
def test_a_class_has_the_rank_that_it_was_declared_with(arena, kind):
    make = getattr(arena, kind)
    lock = make("m", rank=1)

    assert make("m") is lock
    assert make("m", rank=1) is lock
    for wrong in ({"rank": 2}, {"rank": 1, "nest": True}, {"rank": 1, "may_sleep": kind != "rwlock"}):
        with pytest.raises(BadInput, match="'m' has rank 1"):
            make("m", **wrong)
        with pytest.raises(BadInput, match="'m' has rank 1"):
            make("m", 5, **wrong)
    assert make("m") is lock


def test_what_is_no_lock_makes_no_condition(arena):
    with pytest.raises(BadInput, match="lock=3"):
        arena.condition("room", 3)


@pytest.mark.parametrize("args", [(), (1, 2, 3)])
def test_a_role_that_could_not_be_called_is_refused_at_once(args):
    def two(_context, _first, _second):
        """Never called."""

    with (
        Session() as session,
        pytest.raises(BadInput, match=r"role 'r': function: .*two\(_context, _first, _second\)"),
    ):
        session.run_roles([RoleSpec("r", two, args)])
