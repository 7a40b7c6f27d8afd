"""Generated programs: drawn, printed, shrunk; a planted mistake is found, and the VM without it is clean."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from harness.errors import BadInput
from harness.outcome import Finding
from stress.fuzz.draw import programs, search
from stress.fuzz.hunt import OF, OFTEN, REPEATS, Hunt, HuntOptions, kept
from stress.fuzz.programs import KINDS, LIMITS, MOST_OPERATIONS, MOST_ROLES, Program
from stress.fuzz.scenario_file import as_scenario
from stress.run.options import RunOptions
from stress.scenario.scenario import find_scenario, load_scenario

NEEDED = (("write", 1, 2), ("leave", 0))
MOST_RUNS = 150  # of shrinking a program of forty operations to two


class Enough(BaseException):
    """A search that is not to go on."""


def has_both(program):
    """Stands for a race that needs one operation of each of two roles."""
    return any(NEEDED[0] in role for role in program.roles) and any(
        NEEDED[1] in role for role in program.roles
    )


class ToldHunt(Hunt):
    """A hunt whose runs come out as it is told; all else is real."""

    def __init__(self, verdict: Callable[[Program, int], str | None], **options) -> None:
        super().__init__(HuntOptions(base=RunOptions(seed=3), **options), lambda _: None)
        self.verdict = verdict
        self.played: list[Program] = []

    def play(self, program, options):
        self.so_far.runs += 1
        self.played.append(program)
        verdict = self.verdict(program, options.seed - program.seed * 31)
        return verdict and Finding(
            id=1, verdict=verdict, summary="", dump="", detected_after_s=0.0, reproduce=""
        )


def drawn(count, seed=1, most_roles=MOST_ROLES):
    """The first so many programs of a search in which none fails."""
    found: list[Program] = []

    def look(program):
        if len(found) == count:
            raise Enough
        found.append(program)
        return False

    with pytest.raises(Enough):
        search(programs(seed, most_roles), look, seed)
    return found


# --- what a program is


@given(programs(seed=5))
def test_a_program_keeps_to_the_bounds(program):
    assert program.seed == 5
    assert len(program.roles) <= MOST_ROLES
    for role in program.roles:
        assert 1 <= len(role) <= MOST_OPERATIONS
        for kind, *values in role:
            names = KINDS[str(kind)][0]
            assert [value for name, value in zip(names, values, strict=True) if value >= LIMITS[name]] == []


def test_every_kind_of_operation_and_every_width_is_drawn():
    found = drawn(120)

    assert {operation[0] for program in found for role in program.roles for operation in role} == set(KINDS)
    assert {len(program.roles) for program in found} >= {2, 3, 4}


def test_a_seed_gives_the_same_programs_and_another_one_others():
    found = drawn(30)

    assert found == drawn(30)
    assert {one.roles for one in found} != {one.roles for one in drawn(30, seed=2)}
    assert {len(one.roles) for one in drawn(30, most_roles=1)} <= {0, 1}


def test_the_printed_file_holds_the_same_program(tmp_path):
    program = drawn(30)[-1]
    path = tmp_path / "program.py"
    path.write_text(as_scenario(program))

    assert runpy.run_path(str(path))["program"] == program
    scenario = find_scenario(str(path))
    assert scenario.name == str(path)
    assert [role.count for role in scenario.roles] == [1] * len(program.roles)


# --- the search


def test_shrinking_ends_at_the_operations_that_are_needed():
    hunt = ToldHunt(lambda program, _: "lost" if has_both(program) else None)

    so_far = hunt.hunt(lambda caught: caught)

    assert so_far.ended_by == "finding"
    assert so_far.caught is not None
    assert so_far.caught.program.size() == 2
    assert so_far.first is not None
    assert so_far.first.size() > 4
    at = hunt.played.index(so_far.first)
    assert len(set(hunt.played[at:])) < MOST_RUNS
    assert len(set(hunt.played[:at])) == so_far.drawn - 1


def test_a_program_is_judged_once_and_only_a_smaller_one_is_tried():
    hunt = ToldHunt(lambda program, _: "lost" if has_both(program) else None)

    so_far = hunt.hunt(lambda caught: caught)

    assert so_far.first is not None
    tried = list(dict.fromkeys(hunt.played))
    assert [one for one in tried if hunt.played.count(one) > OF + REPEATS] == []
    smallest = so_far.first
    for one in tried[tried.index(so_far.first) + 1 :]:
        assert one.size() < smallest.size()
        smallest = one if has_both(one) else smallest


def test_a_smaller_program_must_fail_as_often():
    runs = []

    def sometimes(_program, number):
        runs.append(number)
        return "lost" if number % 2 else None

    hunt = ToldHunt(sometimes)
    hunt.folder = Path()  # nothing is written there
    program = drawn(20)[-1]

    caught = hunt.repeated(program, 2, 5)

    assert caught is not None
    assert (caught.failed, caught.runs) == (2, 4)
    assert runs == [0, 1, 2, 3]
    runs.clear()
    assert hunt.repeated(program, 3, 4) is None
    assert runs == [0, 1, 2]  # two of three were clean: three failures cannot be reached


def test_of_a_rare_failure_no_more_is_asked_than_that_it_happens():
    hunt = ToldHunt(lambda program, number: "lost" if has_both(program) and number == 1 else None)

    caught = hunt.hunt(lambda caught: caught).caught

    assert OFTEN > 1, "else this says nothing"
    assert caught is not None
    assert caught.program.size() == 2
    assert has_both(caught.program)


def test_a_search_ends_after_so_many_programs():
    hunt = ToldHunt(lambda *_: None, examples=7)

    so_far = hunt.hunt(lambda caught: caught)

    assert (so_far.ended_by, so_far.drawn, so_far.caught) == ("examples", 7, None)
    assert so_far.runs == len(hunt.played) == 7 * REPEATS
    assert [one for one in hunt.played if len(one.roles) < 2] == []


def test_a_search_that_has_no_time_plays_one_program_all_the_same():
    hunt = ToldHunt(lambda *_: None, seconds=1e-9)

    so_far = hunt.hunt(lambda caught: caught)

    assert (so_far.ended_by, so_far.drawn) == ("time limit", 1), "to have looked at nothing proves nothing"


def test_an_error_of_a_run_ends_the_search_at_once():
    def refuse(*_):
        raise BadInput("too small")

    hunt = ToldHunt(refuse)

    with pytest.raises(BadInput, match="too small"):
        hunt.hunt(lambda caught: caught)

    assert len(hunt.played) == 1


def test_an_interrupt_ends_the_shrinking_with_what_there_is():
    def until_it_is_smaller(program, _number):
        if hunt.so_far.caught and program.size() < hunt.so_far.caught.program.size() - 1:
            raise KeyboardInterrupt
        return "lost"

    hunt = ToldHunt(until_it_is_smaller)

    so_far = hunt.hunt(lambda caught: caught)

    assert so_far.ended_by == "interrupt"
    assert so_far.caught is not None


# --- real runs


def test_a_planted_mistake_is_found_and_shrunk_and_kept_as_a_scenario(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def until_it_is_smaller(so_far):
        if so_far.caught and so_far.caught.program.size() < so_far.first.size():
            raise KeyboardInterrupt

    hunt = Hunt(HuntOptions(base=RunOptions(defect="H3"), examples=20), until_it_is_smaller)

    def keep(caught):
        kept(caught, tmp_path / "kept")
        return kept(caught, tmp_path / "kept")

    so_far = hunt.hunt(keep)

    caught = so_far.caught
    assert caught is not None
    assert so_far.first is not None
    assert caught.program.size() < so_far.first.size()
    assert caught.failed >= hunt.often
    names = ["program-1", "program-1-2"]  # the second did not overwrite the first
    files = sorted(f"kept/{name}.{kind}" for name in names for kind in ("json", "py"))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["kept", *files]
    for name in names:
        assert runpy.run_path(str(tmp_path / "kept" / f"{name}.py"))["program"] == caught.program
    assert caught.options.scenario == str(tmp_path / "kept" / "program-1-2.py")
    assert caught.finding.dump == str(tmp_path / "kept" / "program-1-2.json")


# --- files that are none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "FileNotFoundError"),
        ("scenario = (", "SyntaxError"),
        ("import stress.nothing", "ModuleNotFoundError"),
        ("x = 1", "it has no 'scenario"),
        ("scenario = 1", "it has no 'scenario"),
    ],
)
def test_a_file_that_holds_no_scenario_is_refused_by_name(text, said, tmp_path):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)

    with pytest.raises(BadInput, match=said) as caught:
        load_scenario(str(path))

    assert str(path) in str(caught.value)
    assert caught.value.hint == "hangdog list scenarios"
