"""Contracts read from docstrings, and the seams that they make."""

from types import FunctionType

import pytest

from harness.errors import BadInput, ContractViolation
from harness.locks import contract
from harness.locks.contract import EITHER, FREE, MUTEX, READ, WRITE, parse
from tests.harness.locks.conftest import USER, load

# --- reading


def documented(*lines, parameters="vm, thing"):
    space: dict[str, FunctionType] = {}
    exec(f"def f({parameters}): pass", space)
    space["f"].__doc__ = "\n".join(lines)
    space["f"].__module__ = "m"
    return space["f"]


WHOLE = ("Enter: thing locked.", "Exit: same.", "Takes: nothing.", "Sleeps: never.")


def test_names_become_positions_and_paths():
    parsed = parse(
        documented("Enter: thing, vm.a.b locked; vm unlocked.", "Exit: result[0] locked.", *WHOLE[2:])
    )

    assert parsed.enter == ((1, (), MUTEX), (0, ("a", "b"), MUTEX), (0, (), FREE))
    assert parsed.exit == ((-2, (), MUTEX), (1, (), FREE), (0, ("a", "b"), FREE))
    assert (parsed.nothing, parsed.takes, parsed.sleeps) == (False, (), False)


@pytest.mark.parametrize(
    ("state", "mode"),
    [("read-locked", READ), ("write-locked", WRITE), ("locked", EITHER), ("unlocked", FREE)],
)
def test_a_map_may_be_held_in_either_way(state, mode):
    lines = (f"Enter: old_map, vm.map {state}.", *WHOLE[1:])

    assert parse(documented(*lines, parameters="vm, old_map")).enter == ((1, (), mode), (0, ("map",), mode))


def test_what_takes_and_sleeps_may_say():
    parsed = parse(documented(*WHOLE[:2], "Takes: page queues, I/O list.", "Sleeps: yes, rarely (when (x))."))

    assert parsed.takes == ("page queues", "I/O list")
    assert parsed.sleeps
    assert parse(documented(*WHOLE[:2], "Takes: any.", "Sleeps: never.")).takes is None


def test_a_line_goes_on_where_the_next_one_is_indented_further():
    parsed = parse(
        documented(
            "What it does.",
            "",
            "Enter:  thing locked (a remark",
            "        over two lines);",
            "        vm unlocked.",
            "Exit:   same.",
            "Takes:  page queues,",
            "        object.",
            "Sleeps: never.",
            "Returns nothing: really.",
        )
    )

    assert parsed.enter == ((1, (), MUTEX), (0, (), FREE))
    assert parsed.takes == ("page queues", "object")


@pytest.mark.parametrize("line", range(4))
def test_a_missing_line_is_an_error_at_import(line):
    lines = [text for number, text in enumerate(WHOLE) if number != line]

    with pytest.raises(BadInput, match=rf"m\.f: its docstring has no {WHOLE[line].split(':')[0]}: line"):
        contract.contract(documented(*lines))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Enter: thing is locked somehow.", "Enter: clause 'thing is locked somehow' is not in the grammar"),
        ("Enter: other locked.", r"Enter: 'other' is no parameter \(there are vm, thing\)"),
        ("Exit: thing.", "Exit: clause 'thing' is not in the grammar"),
        ("Sleeps: seldom.", "Sleeps: is 'seldom', neither 'never' nor 'yes'"),
        ("Sleeps: (often).", "has no Sleeps: line"),
    ],
)
def test_a_line_that_cannot_be_read_is_an_error_at_import(line, said):
    key = line.split(":", maxsplit=1)[0]
    lines = [line if text.startswith(key) else text for text in WHOLE]

    with pytest.raises(BadInput, match=f"m.f.*{said}"):
        contract.contract(documented(*lines))


# --- binding


def test_every_module_that_imported_the_function_calls_the_checked_one(program, world):
    user = load("user", USER)
    raw = program.step

    contract.bind(True, {}, world.ids)

    assert program.step is user.step is not raw
    assert user.renamed is program.take
    for call in (program.caller, user.use):
        with pytest.raises(ContractViolation):
            call(world, world.thing)

    late = load("late", USER)
    assert late.step is program.step
    contract.bind(True, {}, world.ids)
    contract.unbind()
    assert program.step is user.step is late.step is raw
    assert user.use(world, world.thing) == "done"


@pytest.mark.parametrize("contracts", [False, True])
def test_a_replacement_is_called_everywhere_and_may_call_the_original(program, world, contracts):
    user = load("user", USER)
    swap = load(
        "swap",
        """
        from harness.locks import contract

        def wrong(vm, thing):
            return "wrong then " + contract.original("program.step")(vm, thing)
        """,
    )
    raw, wrong = program.step, swap.wrong

    contract.bind(contracts, {"program.step": swap.wrong}, world.ids)
    with world.thing.lock:
        assert user.use(world, world.thing) == program.caller(world, world.thing) == "wrong then done"
    assert swap.wrong is wrong
    if contracts:
        with pytest.raises(ContractViolation, match="wrong: at entry it needs"):
            program.caller(world, world.thing)
    contract.unbind()

    assert swap.wrong is wrong
    assert program.step is user.step is raw
    contract.bind(contracts, {"program.step": swap.wrong}, world.ids)
    with world.thing.lock:
        assert program.caller(world, world.thing) == "wrong then done"
    contract.unbind()


def test_a_replacement_with_a_contract_of_its_own_keeps_that_one(program, world):
    def lax(vm, thing):
        """
        Enter:  anything.
        Exit:   anything.
        Takes:  any.
        Sleeps: yes.
        """
        return "lax"

    def swapped(thing, vm):
        return "no"

    contract.bind(True, {"program.step": lax}, world.ids)
    assert program.caller(world, world.thing) == "lax"
    contract.bind(True, {"program.step": lambda *both: f"{len(both)}"}, world.ids)
    with pytest.raises(ContractViolation):
        program.caller(world, world.thing)
    contract.bind(True, {"program.step": swapped}, world.ids)
    assert program.step.__wrapped__ is swapped
    contract.unbind()


def test_a_replacement_without_the_parameters_of_the_contract_is_refused(program, world):
    raw = program.step

    with pytest.raises(BadInput, match="'thing' is no parameter"):
        contract.bind(True, {"program.step": lambda _vm: None}, world.ids)

    assert program.step is raw


def test_an_unknown_step_or_class_is_refused_and_nothing_is_bound(program, world):
    raw = program.step

    with pytest.raises(BadInput, match=r"no step is named 'program.stap'; did you mean 'program.step'\?"):
        contract.bind(False, {"program.stap": print})
    with pytest.raises(BadInput, match=r"program\.take: Takes: names 'thing', which is no lock class"):
        contract.bind(True, {}, {})
    with pytest.raises(BadInput, match="no step is named"):
        contract.original("nothing")

    assert program.step is raw


def test_two_steps_of_one_short_name_are_refused(seams):
    first, again, second = (documented(*WHOLE) for _ in range(3))
    first.__module__ = again.__module__ = "one.program"
    second.__module__ = "two.program"
    contract.contract(first)
    contract.contract(again)  # its module was loaded anew

    with pytest.raises(BadInput, match=r"'program\.f': one\.program\.f and two\.program\.f"):
        contract.contract(second)
