"""A defect can be given by its file."""

from pathlib import Path

import pytest

from harness.errors import BadInput
from stress.defect import find_defect

FILE = """
from stress.defect import Defect

def vm_page_zero_fill(vm, page):
    ...

defect = Defect(
    id="X1", name="old-bytes", origin="reconstructed", quote="", interleaving=(), symptom="",
    verdicts=("wrong_data",), scenario="hot-pages",
    replacements={"page.vm_page_zero_fill": vm_page_zero_fill},
)
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_the_path_is_its_id_and_finds_the_same_functions_again(tmp_path: Path):
    path = written(tmp_path, FILE)

    found = find_defect(path)

    assert found.id == path
    assert found.name == "old-bytes"
    assert find_defect(path).replacements == found.replacements


def test_its_functions_are_sent_by_name(tmp_path: Path):
    (step,) = find_defect(written(tmp_path, FILE)).replacements.values()

    assert step.__module__.startswith("defect_file_")


@pytest.mark.parametrize("order", ["{path}+H2", "H2+{path}"])
def test_it_can_be_on_together_with_one_of_the_catalogue(tmp_path: Path, order: str):
    asked = order.format(path=written(tmp_path, FILE))

    both = find_defect(asked)

    assert both.id == asked
    assert len(both.steps) == 1 + len(find_defect("H2").steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defect = 1", "it has no 'defect = Defect(...)'"),
        ("import nothing_of_this_name", "no defect can be read from it: ModuleNotFoundError"),
        ("def (", "no defect can be read from it: SyntaxError"),
    ],
)
def test_a_file_without_a_defect_is_refused_with_its_name(tmp_path: Path, text: str, said: str):
    path = written(tmp_path, text)

    with pytest.raises(BadInput) as refused:
        find_defect(path)

    assert str(refused.value).startswith(f"{path}: {said}")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="FileNotFoundError"):
        find_defect(str(tmp_path / "none.py"))
